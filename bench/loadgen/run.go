package main

import (
	"slices"
	"syscall"
)

// order is one command line on stdin.
type order struct {
	Do       string  `json:"do"`        // connect, run or quit
	Count    int     `json:"count"`     // connect: so many more connections
	Kind     string  `json:"kind"`      // run: report (default) or heartbeat
	Seconds  float64 `json:"seconds"`   // run: how long messages are sent
	Rate     float64 `json:"rate"`      // run: messages a second over all connections; 0 = as fast as answered
	InFlight int     `json:"in_flight"` // run: unanswered messages per connection, at most
}

// run is the outcome of one order, printed as one line of JSON.
type run struct {
	Connections  int     `json:"connections"`
	Sent         int64   `json:"sent"`
	Answered     int64   `json:"answered"`
	Errors       int64   `json:"errors"`         // error_response set
	AskedForFull int64   `json:"asked_for_full"` // flags set: the server misses something
	Offers       int64   `json:"offers"`         // replies that offer something: none is expected
	Foreign      int64   `json:"foreign"`        // replies with another instance_uid
	Unasked      int64   `json:"unasked"`        // messages that answer nothing
	Behind       int64   `json:"behind"`         // messages late at most, when the rate is more than the server can
	Bytes        int     `json:"bytes"`          // of the last frame
	P50          float64 `json:"p50_ms"`
	P99          float64 `json:"p99_ms"`
	Wall         float64 `json:"wall_seconds"`
	CPU          float64 `json:"cpu_seconds"` // the generator's own

	order          order
	first, stopped bool
	began          int64
	cpuBegan       float64
	latencies      []uint32 // microseconds
}

func newRun() *run { return &run{began: nanotime(), cpuBegan: ownCPU()} }

func (r *run) count(answer reply, latency int64) {
	r.Answered++
	r.latencies = append(r.latencies, uint32(min(latency/1000, 1<<32-1)))
	if answer.isError {
		r.Errors++
	}
	if answer.flags != 0 {
		r.AskedForFull++
	}
	if answer.hasOffer {
		r.Offers++
	}
	if answer.isForeign {
		r.Foreign++
	}
}

func (r *run) finish() {
	r.stopped = true
	r.Wall = float64(nanotime()-r.began) / 1e9
	r.CPU = ownCPU() - r.cpuBegan
	slices.Sort(r.latencies)
	if n := len(r.latencies); n > 0 {
		r.P50 = float64(r.latencies[n/2]) / 1e3
		r.P99 = float64(r.latencies[n*99/100]) / 1e3
	}
	r.latencies = nil
}

func ownCPU() float64 {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}
