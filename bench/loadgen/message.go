package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"
	"time"
)

// AgentCapabilities of the plain opampextension: ReportsStatus, ReportsEffectiveConfig, ReportsHealth,
// ReportsAvailableComponents. Nothing is ever offered to such an agent, so a reply is a bare acknowledgement.
const capabilities = 0x4805

// Field keys of AgentToServer (field number << 3 | wire type) that are written or patched here.
const (
	keyInstanceUID  = 1<<3 | 2
	keySequenceNum  = 2 << 3
	keyCapabilities = 4 << 3
	keyStatusTime   = 5<<3 | 1 // in ComponentHealth
	headerByte      = 0x00     // OpAMP's header in front of each WebSocket message
)

func field(number int, value []byte) []byte {
	out := binary.AppendUvarint(nil, uint64(number)<<3|2)
	return append(binary.AppendUvarint(out, uint64(len(value))), value...)
}

func text(number int, value string) []byte { return field(number, []byte(value)) }

func join(parts ...[]byte) []byte {
	var out []byte
	for _, part := range parts {
		out = append(out, part...)
	}
	return out
}

func fixed64(number int, value uint64) []byte {
	return binary.LittleEndian.AppendUint64([]byte{byte(number<<3 | 1)}, value)
}

func attribute(key, value string) []byte { return join(text(1, key), field(2, text(1, value))) }

// entry is an element of a map with string keys.
func entry(key string, value []byte) []byte { return join(text(1, key), field(2, value)) }

// health is a ComponentHealth: healthy, start and status time, StatusOK, children.
func health(started, at uint64, children ...[]byte) []byte {
	out := []byte{1 << 3, 1}
	if started != 0 {
		out = append(out, fixed64(2, started)...)
	}
	out = append(out, text(4, "StatusOK")...)
	out = append(out, fixed64(5, at)...)
	for _, child := range children {
		out = append(out, field(6, child)...)
	}
	return out
}

// agent is one simulated collector: its identity, its sequence number and its two pre-encoded messages.
type agent struct {
	uid     [16]byte
	name    string
	started uint64
	next    uint64 // sequence_num of the next message
	mask    [4]byte
	report  frame
	beat    frame
}

// frame is a masked WebSocket frame, ready to be written; only the patched bytes change from message to message.
type frame struct {
	bytes         []byte
	payload       int // where the payload starts
	sequence      int // where sequence_num's varint starts in the payload
	sequenceBytes int
	statusTime    int // where status_time_unix_nano starts in the payload; 0 = there is none
}

func newAgent(prefix string, index int) *agent {
	a := &agent{name: fmt.Sprintf("%s-%06d", prefix, index), started: uint64(time.Now().UnixNano())}
	sum := sha256.Sum256([]byte(a.name))
	copy(a.uid[:], sum[:])
	a.uid[6] = a.uid[6]&0x0f | 0x40
	a.uid[8] = a.uid[8]&0x3f | 0x80
	_, _ = rand.Read(a.mask[:])
	return a
}

// first is the full report that opens a connection: nothing is left to ask for.
func (a *agent) first() []byte {
	id := fmt.Sprintf("%x-%x-%x-%x-%x", a.uid[0:4], a.uid[4:6], a.uid[6:8], a.uid[8:10], a.uid[10:])
	description := join(
		field(1, attribute("service.instance.id", id)),
		field(1, attribute("service.name", "otelcol-contrib")),
		field(1, attribute("service.version", "0.149.0")),
		field(2, attribute("host.arch", "amd64")),
		field(2, attribute("host.name", a.name)),
		field(2, attribute("os.type", "linux")),
	)
	config := "receivers: {otlp: {protocols: {grpc: {}}}}\nexporters: {debug: {}}\n" +
		"service: {pipelines: {metrics: {receivers: [otlp], exporters: [debug]}}}\n"
	components := sha256.Sum256([]byte("otlp debug"))
	message := join(
		a.head(0), field(3, description), a.tail(), field(5, a.health(a.started)),
		field(6, field(1, field(1, entry("", join(text(1, config), text(2, "text/yaml")))))),
		field(7, nil), field(8, nil),
		field(14, join(
			field(1, entry("receivers", field(2, entry("otlp", nil)))),
			field(1, entry("exporters", field(2, entry("debug", nil)))),
			field(2, components[:]),
		)),
	)
	a.next = 1
	return encodeFrame(a.mask, message).bytes
}

func (a *agent) head(sequence uint64) []byte {
	out := append([]byte{headerByte, keyInstanceUID, 16}, a.uid[:]...)
	if sequence > 0 { // proto3 leaves out a zero
		out = binary.AppendUvarint(append(out, keySequenceNum), sequence)
	}
	return out
}

func (a *agent) tail() []byte { return binary.AppendUvarint([]byte{keyCapabilities}, capabilities) }

// health is what a collector with one pipeline says each time something in it has moved.
func (a *agent) health(at uint64) []byte {
	return health(a.started, at,
		entry("extensions", health(0, at, entry("extension:opamp", health(0, at)))),
		entry("pipeline:metrics", health(0, at,
			entry("receiver:otlp", health(0, at)),
			entry("processor:batch", health(0, at)),
			entry("exporter:otlp_http", health(0, at)))))
}

// nextReport is the next message of about 300 bytes: a health report with a new status time.
func (a *agent) nextReport(now uint64) []byte {
	if a.report.sequenceBytes != varintLen(a.next) {
		at := now
		message := join(a.head(a.next), a.tail(), field(5, a.health(at)))
		a.report = encodeFrame(a.mask, message)
		a.report.sequence, a.report.sequenceBytes = sequenceOffset, varintLen(a.next)
		marker := binary.LittleEndian.AppendUint64([]byte{keyStatusTime}, at)
		a.report.statusTime = strings.Index(string(message), string(marker)) + 1
	}
	a.report.patchTime(a.mask, now)
	return a.patchSequence(&a.report)
}

// nextBeat is the next bare heartbeat: instance_uid, sequence_num, capabilities.
func (a *agent) nextBeat() []byte {
	if a.beat.sequenceBytes != varintLen(a.next) {
		a.beat = encodeFrame(a.mask, join(a.head(a.next), a.tail()))
		a.beat.sequence, a.beat.sequenceBytes = sequenceOffset, varintLen(a.next)
	}
	return a.patchSequence(&a.beat)
}

// goodbye is the last message with agent_disconnect and the close frame (code 1000) behind it.
func (a *agent) goodbye() []byte {
	message := join(a.head(a.next), a.tail(), field(9, nil))
	closing := encodeFrame(a.mask, []byte{0x03, 0xe8}).bytes
	closing[0] = 0x88
	return append(encodeFrame(a.mask, message).bytes, closing...)
}

// sequenceOffset counts the header byte, instance_uid's key, its length, its bytes and sequence_num's key.
const sequenceOffset = 1 + 2 + 16 + 1

func (a *agent) patchSequence(f *frame) []byte {
	value := a.next
	for i := range f.sequenceBytes {
		b := byte(value)
		if value >>= 7; value > 0 {
			b |= 0x80
		}
		f.put(a.mask, f.sequence+i, b)
	}
	a.next++
	return f.bytes
}

func (f *frame) patchTime(mask [4]byte, now uint64) {
	for i := range 8 {
		f.put(mask, f.statusTime+i, byte(now>>(8*i)))
	}
}

func (f *frame) put(mask [4]byte, at int, value byte) { f.bytes[f.payload+at] = value ^ mask[at&3] }

func varintLen(value uint64) int { return max(1, (bits.Len64(value)+6)/7) }

// encodeFrame wraps a message into one masked binary frame (RFC 6455, section 5.2).
func encodeFrame(mask [4]byte, message []byte) frame {
	out := []byte{0x82}
	if len(message) < 126 {
		out = append(out, 0x80|byte(len(message)))
	} else {
		out = append(out, 0x80|126, byte(len(message)>>8), byte(len(message)))
	}
	out = append(out, mask[:]...)
	start := len(out)
	for i, b := range message {
		out = append(out, b^mask[i&3])
	}
	return frame{bytes: out, payload: start}
}
