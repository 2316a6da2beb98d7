package main

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// reply says what a ServerToAgent holds, as far as a load generator cares.
type reply struct {
	isError   bool   // error_response
	flags     uint64 // ServerToAgentFlags
	hasOffer  bool   // config, connection settings, packages, command, identification, custom message
	isForeign bool   // another agent's instance_uid, or none
}

var errMalformed = errors.New("malformed ServerToAgent")

// parseReply reads the top-level fields of a WebSocket message (header byte and ServerToAgent).
func parseReply(message, uid []byte) (reply, error) {
	if len(message) == 0 || message[0] != headerByte {
		return reply{}, errMalformed
	}
	data := message[1:]
	if len(data) == 18 && data[0] == keyInstanceUID && data[1] == 16 { // the usual one: a bare acknowledgement
		return reply{isForeign: !bytes.Equal(data[2:], uid)}, nil
	}
	out := reply{isForeign: true}
	for len(data) > 0 {
		key, n := binary.Uvarint(data)
		if n <= 0 {
			return reply{}, errMalformed
		}
		value, m := binary.Uvarint(data[n:])
		if m <= 0 {
			return reply{}, errMalformed
		}
		data = data[n+m:]
		var body []byte
		switch key & 7 {
		case 0:
		case 2:
			if value > uint64(len(data)) {
				return reply{}, errMalformed
			}
			body, data = data[:value], data[value:]
		default:
			return reply{}, errMalformed
		}
		switch key >> 3 {
		case 1:
			out.isForeign = !bytes.Equal(body, uid)
		case 2:
			out.isError = true
		case 6:
			out.flags = value
		case 3, 4, 5, 8, 9, 11:
			out.hasOffer = true
		}
	}
	return out, nil
}
