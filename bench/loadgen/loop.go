package main

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"
	"unsafe"
)

// loop drives all connections from one thread: epoll, one read and one write a message and nothing else, so
// that the generator costs less than any server that it measures.
type loop struct {
	epoll, timer int
	to           target
	conns        map[int]*connection
	all          []*connection
	buffer       []byte
	stdin        []byte
	stdinClosed  bool
	run          *run // the run that counts what arrives
}

const (
	stdinFD        = 0
	maxEvents      = 256
	minTick        = 100 * time.Microsecond
	drainTime      = 5 * time.Second
	firstReplyTime = 30 * time.Second
	clockMonotonic = 1
)

func newLoop(to target) (*loop, error) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	timer, _, errno := syscall.RawSyscall(
		syscall.SYS_TIMERFD_CREATE, clockMonotonic, syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if errno != 0 {
		return nil, errno
	}
	l := &loop{epoll: epoll, timer: int(timer), to: to, conns: map[int]*connection{}, buffer: make([]byte, 1<<16)}
	return l, l.watch(l.timer)
}

func (l *loop) watch(fd int) error {
	return syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)})
}

// tick sets the period of the timer; zero stops it.
func (l *loop) tick(period time.Duration) {
	value := syscall.NsecToTimespec(int64(period))
	spec := [2]syscall.Timespec{value, value} // interval, first
	_, _, _ = syscall.RawSyscall6(syscall.SYS_TIMERFD_SETTIME, uintptr(l.timer), 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
}

// connect opens count more connections and waits until each full first report is answered.
func (l *loop) connect(prefix string, count int) (*run, error) {
	l.run = newRun()
	l.run.first = true
	for range count {
		c, err := dial(&l.to, newAgent(prefix, len(l.all)))
		if err != nil {
			return nil, err
		}
		l.conns[c.fd] = c
		l.all = append(l.all, c)
		l.run.Sent++
		if err := l.watch(c.fd); err != nil {
			return nil, err
		}
		if err := l.poll(0); err != nil {
			return nil, err
		}
	}
	deadline := nanotime() + int64(firstReplyTime)
	for l.run.Answered < l.run.Sent && nanotime() < deadline {
		if err := l.poll(100); err != nil {
			return nil, err
		}
	}
	l.run.finish()
	return l.run, nil
}

// load sends messages for the given time: at a rate, or (rate 0) as fast as they are answered.
func (l *loop) load(o order) (*run, error) {
	l.run = newRun()
	r := l.run
	r.order = o
	r.latencies = make([]uint32, 0, 1<<20)
	end := r.began + int64(o.Seconds*1e9)
	if o.Rate > 0 {
		l.tick(max(minTick, time.Duration(1e9/o.Rate)))
		defer l.tick(0)
	}
	if o.Rate == 0 {
		for range o.InFlight {
			for _, c := range l.all {
				if err := l.sendNext(c); err != nil {
					return nil, err
				}
			}
		}
	}
	next := 0
	for now := nanotime(); now < end; now = nanotime() {
		if err := l.poll(20); err != nil {
			return nil, err
		}
		if o.Rate == 0 {
			continue
		}
		due := int64(float64(nanotime()-r.began) * o.Rate / 1e9)
		for tried := 0; r.Sent < due && tried < len(l.all); tried++ {
			c := l.all[next]
			next = (next + 1) % len(l.all)
			if len(c.sentAt) >= o.InFlight {
				continue
			}
			if err := l.sendNext(c); err != nil {
				return nil, err
			}
		}
		r.Behind = max(r.Behind, due-r.Sent)
	}
	r.stopped = true
	for deadline := nanotime() + int64(drainTime); r.Answered < r.Sent && nanotime() < deadline; {
		if err := l.poll(20); err != nil {
			return nil, err
		}
	}
	r.finish()
	return r, nil
}

func (l *loop) sendNext(c *connection) error {
	var message []byte
	if l.run.order.Kind == "heartbeat" {
		message = c.agent.nextBeat()
	} else {
		message = c.agent.nextReport(uint64(time.Now().UnixNano()))
	}
	l.run.Bytes = len(message)
	l.run.Sent++
	return c.send(message, nanotime())
}

// poll waits up to so many milliseconds and handles all that is ready.
func (l *loop) poll(milliseconds int) error {
	var events [maxEvents]syscall.EpollEvent
	n, err := syscall.EpollWait(l.epoll, events[:], milliseconds)
	if err != nil {
		if errors.Is(err, syscall.EINTR) {
			return nil
		}
		return err
	}
	for _, event := range events[:n] {
		switch fd := int(event.Fd); fd {
		case stdinFD:
			err = l.readStdin()
		case l.timer:
			_, _, _ = read(fd, l.buffer[:8])
		default:
			err = l.receive(l.conns[fd])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *loop) readStdin() error {
	n, err := syscall.Read(stdinFD, l.buffer)
	if err != nil {
		return err
	}
	l.stdin = append(l.stdin, l.buffer[:n]...)
	if n == 0 {
		l.stdinClosed = true
		return syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_DEL, stdinFD, nil)
	}
	return nil
}

func (l *loop) receive(c *connection) error {
	n, isEmpty, err := read(c.fd, l.buffer)
	if isEmpty {
		return nil
	}
	if err != nil || n == 0 {
		return fmt.Errorf("agent %s: the server closed the connection (%v)", c.agent.name, err)
	}
	data := l.buffer[:n]
	if len(c.rest) > 0 {
		data = append(c.rest, data...)
	}
	left, err := splitFrames(data, func(opcode byte, payload []byte) error { return l.handle(c, opcode, payload) })
	c.rest = nil
	if len(left) > 0 {
		c.rest = slices.Clone(left)
	}
	return err
}

func (l *loop) handle(c *connection, opcode byte, payload []byte) error {
	switch opcode {
	case 0x2:
	case 0x9: // ping
		pong := encodeFrame(c.agent.mask, payload).bytes
		pong[0] = 0x8a
		return writeAll(c.fd, pong)
	case 0x8:
		return fmt.Errorf("agent %s: closed by the server: %q", c.agent.name, payload)
	default:
		return nil
	}
	answer, err := parseReply(payload, c.agent.uid[:])
	if err != nil {
		return err
	}
	if len(c.sentAt) == 0 { // nothing was asked: an offer of the server's own accord
		l.run.Unasked++
		return nil
	}
	l.run.count(answer, nanotime()-c.sentAt[0])
	c.sentAt = append(c.sentAt[:0], c.sentAt[1:]...)
	if l.run.first || l.run.stopped || l.run.order.Rate > 0 {
		return nil
	}
	return l.sendNext(c)
}

// close says goodbye as an agent does: agent_disconnect, then a WebSocket close.
func (l *loop) close() {
	for _, c := range l.all {
		_ = writeAll(c.fd, c.agent.goodbye())
	}
}

// read and writeAll skip the Go scheduler: the sockets do not block.
func read(fd int, buffer []byte) (n int, isEmpty bool, err error) {
	r, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&buffer[0])), uintptr(len(buffer)))
	switch errno {
	case 0:
		return int(r), false, nil
	case syscall.EAGAIN, syscall.EINTR:
		return 0, true, nil
	}
	return 0, false, errno
}

func writeAll(fd int, data []byte) error {
	r, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&data[0])), uintptr(len(data)))
	if errno != 0 {
		return fmt.Errorf("write: %w", errno)
	}
	if int(r) != len(data) {
		return errors.New("write: the socket's buffer is full")
	}
	return nil
}
