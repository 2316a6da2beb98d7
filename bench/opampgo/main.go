// opampgo is the yardstick: the opamp-go server, which answers each message at once and keeps nothing.
//
// It prints {"url": "ws://…"} when it listens and ends when its stdin closes. With -check it also looks at what
// arrives (a full first message, sequence numbers without a gap) and prints the counts at its end: that tests
// the load generator, and is no figure.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/open-telemetry/opamp-go/protobufs"
	"github.com/open-telemetry/opamp-go/server"
	"github.com/open-telemetry/opamp-go/server/types"
)

func answer(_ context.Context, _ types.Connection, message *protobufs.AgentToServer) *protobufs.ServerToAgent {
	return &protobufs.ServerToAgent{InstanceUid: message.InstanceUid}
}

// checker counts what a server that keeps sessions would object to.
type checker struct {
	Messages   atomic.Int64
	Reports    atomic.Int64
	Gaps       atomic.Int64
	NotFull    atomic.Int64
	Incomplete atomic.Int64
	Unreadable atomic.Int64
}

func (c *checker) callbacks() types.ConnectionCallbacks {
	var seen bool
	var last uint64
	return types.ConnectionCallbacks{
		OnMessage: func(ctx context.Context, conn types.Connection, m *protobufs.AgentToServer) *protobufs.ServerToAgent {
			c.Messages.Add(1)
			switch {
			case !seen && (m.AgentDescription == nil || m.Health == nil || m.EffectiveConfig == nil ||
				m.RemoteConfigStatus == nil || m.PackageStatuses == nil || m.AvailableComponents == nil):
				c.NotFull.Add(1)
			case seen && m.SequenceNum != last+1:
				c.Gaps.Add(1)
			}
			if m.Health != nil {
				c.Reports.Add(1)
				if len(m.Health.ComponentHealthMap) == 0 || m.Health.StatusTimeUnixNano == 0 {
					c.Incomplete.Add(1)
				}
			}
			if len(m.InstanceUid) != 16 || m.Capabilities == 0 || len(m.ProtoReflect().GetUnknown()) > 0 {
				c.Incomplete.Add(1)
			}
			seen, last = true, m.SequenceNum
			return answer(ctx, conn, m)
		},
		OnReadMessageError: func(types.Connection, int, []byte, error) { c.Unreadable.Add(1) },
	}
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	check := flag.Bool("check", false, "look at the messages and print what was odd about them")
	flag.Parse()

	var checks checker
	connecting := func(*http.Request) types.ConnectionResponse {
		callbacks := types.ConnectionCallbacks{OnMessage: answer}
		if *check {
			callbacks = checks.callbacks()
		}
		return types.ConnectionResponse{Accept: true, ConnectionCallbacks: callbacks}
	}
	srv := server.New(nil)
	if err := srv.Start(server.StartSettings{
		Settings:       server.Settings{Callbacks: types.Callbacks{OnConnecting: connecting}},
		ListenEndpoint: *listen,
	}); err != nil {
		log.Fatal(err)
	}
	out := json.NewEncoder(os.Stdout)
	_ = out.Encode(map[string]string{"url": "ws://" + srv.Addr().String() + "/v1/opamp"})
	_, _ = io.Copy(io.Discard, os.Stdin)
	if *check {
		_ = out.Encode(map[string]int64{
			"messages": checks.Messages.Load(), "reports": checks.Reports.Load(), "gaps": checks.Gaps.Load(),
			"not_full": checks.NotFull.Load(), "incomplete": checks.Incomplete.Load(), "unreadable": checks.Unreadable.Load(),
		})
	}
}
