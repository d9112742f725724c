// SPDX-License-Identifier: Apache-2.0

// Package golines has what the Go peers share: the words that bench/peers/run speaks (see there), the payload, and the handler's tally.
package golines

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

type Words map[string]string

func (w Words) Int(key string) int {
	n, err := strconv.Atoi(w[key])
	if err != nil {
		panic(fmt.Sprintf("%s is not a number", key))
	}
	return n
}

type Command func(Words) (string, error)

// MonoUs reads the clock that all processes of a machine share; time.Now cannot be compared across them.
func MonoUs() int64 {
	var t syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, 1 /* CLOCK_MONOTONIC */, uintptr(unsafe.Pointer(&t)), 0)
	return t.Sec*1e6 + t.Nsec/1e3
}

var begun, begunUs = time.Now(), MonoUs()

// Now is MonoUs without its system call.
func Now() int64 { return begunUs + time.Since(begun).Microseconds() }

func Version(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		if m.Path == module {
			return fmt.Sprintf("version=%s runtime=%s", m.Version, info.GoVersion)
		}
	}
	return ""
}

func Env(name string) int {
	return Words{name: os.Getenv(name)}.Int(name)
}

func Serve(commands map[string]Command, first string) {
	fmt.Println("ok " + first)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fields := strings.Fields(in.Text())
		words := Words{}
		for _, f := range fields[1:] {
			key, value, _ := strings.Cut(f, "=")
			words[key] = value
		}
		answer, err := commands[fields[0]](words)
		if err != nil {
			fmt.Println("error " + err.Error())
		} else {
			fmt.Println("ok " + answer)
		}
	}
}

// Data is the payload: 200 bytes of JSON.
type Data struct {
	I string `json:"i"`
	X string `json:"x"`
}

var filler = strings.Repeat("x", 169)

func NewData(number int) Data { return Data{fmt.Sprintf("%016x", number), filler} }

// Pulse sends single jobs with a pause before each and writes when.
func Pulse(w Words, send func(i int) error) (string, error) {
	times := make([]int64, w.Int("n"))
	for i := range times {
		time.Sleep(time.Duration(w.Int("gap_us")) * time.Microsecond)
		times[i] = MonoUs()
		if err := send(i); err != nil {
			return "", err
		}
	}
	return "", writeTimes(w["path"], times)
}

func writeTimes(path string, times []int64) error {
	out := make([]byte, 0, 8*len(times))
	for _, t := range times {
		out = binary.LittleEndian.AppendUint64(out, uint64(t))
	}
	return os.WriteFile(path, out, 0o600)
}

type Tally struct {
	counts    atomic.Pointer[[]atomic.Int32]
	starts    atomic.Pointer[[]int64]
	count, at atomic.Int64
}

func (t *Tally) Note(number string) {
	i, err := strconv.ParseUint(number, 16, 63)
	if err != nil {
		panic(err)
	}
	now := Now()
	t.at.Store(now)
	first := (*t.counts.Load())[i].Add(1) == 1
	if starts := t.starts.Load(); starts != nil && first {
		(*starts)[i] = now
	}
	t.count.Add(1)
}

// Commands answer for the tally.
func (t *Tally) Commands() map[string]Command {
	return map[string]Command{"expect": t.expect, "count": t.say, "dump": t.dump}
}

func (t *Tally) expect(w Words) (string, error) {
	counts := make([]atomic.Int32, w.Int("n"))
	t.counts.Store(&counts)
	t.starts.Store(nil)
	if w["record"] == "1" {
		starts := make([]int64, w.Int("n"))
		t.starts.Store(&starts)
	}
	t.count.Store(0)
	return "", nil
}

func (t *Tally) say(Words) (string, error) {
	return fmt.Sprintf("count=%d at_us=%d", t.count.Load(), t.at.Load()), nil
}

func (t *Tally) dump(w Words) (string, error) {
	counts := *t.counts.Load()
	out := make([]byte, len(counts))
	for i := range counts {
		out[i] = byte(counts[i].Load())
	}
	if starts := t.starts.Load(); starts != nil {
		if err := writeTimes(w["path"]+".starts", *starts); err != nil {
			return "", err
		}
	}
	return "", os.WriteFile(w["path"], out, 0o600)
}
