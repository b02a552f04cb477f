package programs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"time"
)

// What bpf/programs.bpf.c writes.
const (
	headSize = 56
	kindExec = 1

	flagArgsCut    = 1
	flagArgsUnread = 2
	flagExeCut     = 4
	flagCwdCut     = 8
	flagExeUnnamed = 16
	flagCwdUnnamed = 32
)

var errEvent = errors.New("the kernel's event is malformed")

// decode reads an event. offset is between the machine's start and 1970.
func decode(b []byte, offset time.Duration) (session uint64, e event, err error) {
	if len(b) < headSize {
		return 0, e, errEvent
	}
	n := binary.NativeEndian
	session = n.Uint64(b)
	e.at = time.Unix(0, int64(n.Uint64(b[8:]))).Add(offset) //nolint:gosec // nanoseconds since the start
	e.exec = n.Uint32(b[16:]) == kindExec
	e.pid, e.code = n.Uint32(b[20:]), n.Uint32(b[32:])
	if !e.exec {
		return session, e, nil
	}
	uid, flags := n.Uint32(b[28:]), n.Uint32(b[36:])
	var parts [4][]byte // arguments, file, exe, cwd
	rest := b[headSize:]
	for i := range parts {
		size := int(n.Uint16(b[44+2*i:]))
		if size > len(rest) {
			return 0, e, errEvent
		}
		parts[i], rest = rest[:size], rest[size:]
	}
	l := &e.line
	l.PID, l.PPID, l.UID = e.pid, n.Uint32(b[24:]), &uid
	l.Argv = arguments(parts[0], flags&flagArgsCut != 0)
	l.Exe = path(parts[2], flags&flagExeCut != 0, flags&flagExeUnnamed != 0)
	l.Cwd = path(parts[3], flags&flagCwdCut != 0, flags&flagCwdUnnamed != 0)
	if file := string(bytes.TrimRight(parts[1], "\x00")); file != l.Exe {
		l.File = strings.ToValidUTF8(file, "\ufffd")
	}
	for _, f := range []struct {
		flag uint32
		name string
	}{{flagArgsCut, "args"}, {flagArgsUnread, "args_unread"}, {flagExeCut, "exe"}, {flagCwdCut, "cwd"}} {
		if flags&f.flag != 0 {
			l.Cut = append(l.Cut, f.name)
		}
	}
	if flags&flagArgsCut != 0 {
		l.ArgvSize = n.Uint32(b[40:])
	}
	return session, e, nil
}

// arguments splits what lies at the start of a program's stack.
func arguments(b []byte, cut bool) []string {
	if len(b) == 0 {
		return nil
	}
	if !cut {
		b = bytes.TrimSuffix(b, []byte{0})
	}
	args := strings.Split(string(b), "\x00")
	for i, a := range args {
		args[i] = strings.ToValidUTF8(a, "\ufffd")
	}
	return args
}
