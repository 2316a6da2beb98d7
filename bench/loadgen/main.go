// loadgen is a bounded load generator for OpAMP over WebSocket.
//
// With -seconds it connects, runs once, prints the outcome and ends; with -hold it connects, idles so long and ends.
// With neither it takes orders from stdin, a JSON object a line, and answers each with a line of JSON:
//
//	{"do": "connect", "count": 1000}
//	{"do": "run", "kind": "report", "seconds": 4, "rate": 10000, "in_flight": 1}
//	{"do": "quit"}
//
// Between orders the connections idle (pings are answered). It ends with exit code 1 when a connection is lost.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("loadgen: ")
	url := flag.String("url", "ws://127.0.0.1:4320/v1/opamp", "where the agents connect")
	token := flag.String("token", os.Getenv("FLOWGATE_ENROLLMENT_TOKEN"), "bearer token of the agents")
	prefix := flag.String("prefix", "bench", "names the simulated hosts; the same prefix gives the same instance_uids")
	connections := flag.Int("connections", 0, "connections to open at once")
	seconds := flag.Float64("seconds", 0, "run once for so long instead of taking orders")
	hold := flag.Duration("hold", 0, "idle for so long instead of taking orders")
	kind := flag.String("kind", "report", "report or heartbeat")
	rate := flag.Float64("rate", 0, "messages a second over all connections; 0 = as fast as they are answered")
	inFlight := flag.Int("in-flight", 1, "unanswered messages per connection, at most")
	flag.Parse()
	runtime.LockOSThread()

	to, err := parseTarget(*url, *token)
	if err == nil {
		err = raiseFileLimit()
	}
	var l *loop
	if err == nil {
		l, err = newLoop(to)
	}
	if err == nil && *connections > 0 {
		err = l.obey(*prefix, order{Do: "connect", Count: *connections})
	}
	switch {
	case err != nil:
	case *seconds > 0:
		err = l.obey(*prefix, order{Do: "run", Kind: *kind, Seconds: *seconds, Rate: *rate, InFlight: *inFlight})
	case *hold > 0:
		err = l.idle(*hold)
	default:
		err = l.takeOrders(*prefix)
	}
	if err != nil {
		log.Fatal(err)
	}
	l.close()
}

// raiseFileLimit allows as many open sockets as the machine does.
func raiseFileLimit() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

func (l *loop) obey(prefix string, o order) error {
	var outcome *run
	var err error
	switch {
	case o.Do == "connect" && o.Count > 0:
		outcome, err = l.connect(prefix, o.Count)
	case o.Do == "run" && o.Seconds > 0 && o.Rate >= 0 && len(l.all) > 0 && (o.Kind == "" || o.Kind == "report" || o.Kind == "heartbeat"):
		o.InFlight = max(1, o.InFlight)
		outcome, err = l.load(o)
	default:
		return fmt.Errorf("no such order: %+v", o)
	}
	if err != nil {
		return err
	}
	outcome.Connections = len(l.all)
	return json.NewEncoder(os.Stdout).Encode(outcome)
}

func (l *loop) idle(duration time.Duration) error {
	l.run = newRun()
	for end := nanotime() + int64(duration); nanotime() < end; {
		if err := l.poll(200); err != nil {
			return err
		}
	}
	return nil
}

func (l *loop) takeOrders(prefix string) error {
	if err := l.watch(stdinFD); err != nil {
		return fmt.Errorf("stdin must be a pipe or a terminal: %w", err)
	}
	for {
		line, rest, found := bytes.Cut(l.stdin, []byte("\n"))
		if !found {
			if l.stdinClosed {
				return nil
			}
			l.run = newRun()
			if err := l.poll(1000); err != nil {
				return err
			}
			continue
		}
		l.stdin = rest
		var o order
		if err := json.Unmarshal(line, &o); err != nil {
			return fmt.Errorf("order %q: %w", line, err)
		}
		if o.Do == "quit" {
			return nil
		}
		if err := l.obey(prefix, o); err != nil {
			return err
		}
	}
}
