package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// target is where the agents connect, resolved once.
type target struct {
	address syscall.SockaddrInet4
	host    string
	path    string
	token   string
}

func parseTarget(raw, token string) (target, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return target{}, err
	}
	if u.Scheme != "ws" {
		return target{}, fmt.Errorf("%q is not a ws:// URL", raw)
	}
	resolved, err := net.ResolveTCPAddr("tcp4", u.Host)
	if err != nil {
		return target{}, err
	}
	address, ok := netip.AddrFromSlice(resolved.IP.To4())
	if !ok {
		return target{}, fmt.Errorf("%q has no IPv4 address", raw)
	}
	return target{
		address: syscall.SockaddrInet4{Port: resolved.Port, Addr: address.As4()},
		host:    u.Host, path: u.RequestURI(), token: token,
	}, nil
}

// connection is one agent's WebSocket. Its socket is driven by the loop alone.
type connection struct {
	fd     int
	agent  *agent
	rest   []byte  // the beginning of a frame whose end has not arrived
	sentAt []int64 // when the unanswered messages were sent, oldest first (monotonic ns)
}

// dial connects, upgrades and sends the full first report. The reply is left to the loop.
func dial(to *target, a *agent) (*connection, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	c := &connection{fd: fd, agent: a}
	if err := c.open(to); err != nil {
		_ = syscall.Close(fd)
		return nil, fmt.Errorf("agent %s: %w", a.name, err)
	}
	return c, nil
}

func (c *connection) open(to *target) error {
	if err := syscall.Connect(c.fd, &to.address); err != nil {
		return err
	}
	if err := syscall.SetsockoptInt(c.fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1); err != nil {
		return err
	}
	wait := syscall.Timeval{Sec: 20}
	if err := syscall.SetsockoptTimeval(c.fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &wait); err != nil {
		return err
	}
	if err := c.upgrade(to); err != nil {
		return err
	}
	if err := syscall.SetNonblock(c.fd, true); err != nil {
		return err
	}
	return c.send(c.agent.first(), nanotime())
}

func (c *connection) upgrade(to *target) error {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:])
	key := base64.StdEncoding.EncodeToString(nonce[:])
	request := "GET " + to.path + " HTTP/1.1\r\nHost: " + to.host + "\r\nUser-Agent: Go-http-client/1.1\r\n" +
		"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + "\r\n"
	if to.token != "" {
		request += "Authorization: Bearer " + to.token + "\r\n"
	}
	if _, err := syscall.Write(c.fd, []byte(request+"\r\n")); err != nil {
		return err
	}
	var response []byte
	buffer := make([]byte, 4096)
	for {
		n, err := syscall.Read(c.fd, buffer)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("no answer to the upgrade: %w", err)
		}
		if n == 0 {
			return errors.New("closed during the upgrade")
		}
		response = append(response, buffer[:n]...)
		end := bytes.Index(response, []byte("\r\n\r\n"))
		if end < 0 {
			continue
		}
		head := string(response[:end])
		status, _, _ := strings.Cut(head, "\r\n")
		accept := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		if !strings.Contains(status, " 101 ") || !strings.Contains(head, base64.StdEncoding.EncodeToString(accept[:])) {
			return fmt.Errorf("upgrade refused: %s", status)
		}
		c.rest = append(c.rest, response[end+4:]...)
		return nil
	}
}

// send writes one message; the kernel's buffer has room for it, since few are ever unanswered.
func (c *connection) send(message []byte, now int64) error {
	if err := writeAll(c.fd, message); err != nil {
		return err
	}
	c.sentAt = append(c.sentAt, now)
	return nil
}

var start = time.Now()

func nanotime() int64 { return int64(time.Since(start)) }

// splitFrames calls take for each whole server frame in data and returns what is left over.
func splitFrames(data []byte, take func(opcode byte, payload []byte) error) ([]byte, error) {
	for len(data) >= 2 {
		length, head := int(data[1]&0x7f), 2
		switch {
		case data[0]&0xf0 != 0x80 || data[1]&0x80 != 0:
			return data, fmt.Errorf("unexpected frame % x", data[:2])
		case length == 126:
			head = 4
		case length == 127:
			head = 10
		}
		if len(data) < head {
			break
		}
		if head > 2 {
			length = 0
			for _, b := range data[2:head] {
				length = length<<8 | int(b)
			}
		}
		if len(data) < head+length {
			break
		}
		if err := take(data[0]&0x0f, data[head:head+length]); err != nil {
			return data, err
		}
		data = data[head+length:]
	}
	return data, nil
}
