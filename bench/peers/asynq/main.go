// SPDX-License-Identifier: Apache-2.0

// asynq as a peer: "producer" or "worker". The released client has no bulk call, so many goroutines enqueue through one client's pool.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"dureq/bench/peers/golines"
	"github.com/hibiken/asynq"
)

const senders = 32

func redis() asynq.RedisClientOpt {
	return asynq.RedisClientOpt{Network: "unix", Addr: os.Getenv("PEER_SOCKET"), PoolSize: 64}
}

func producer() {
	client := asynq.NewClient(redis())
	send := func(i int) error {
		payload, err := json.Marshal(golines.NewData(i))
		if err != nil {
			return err
		}
		_, err = client.Enqueue(asynq.NewTask("bench.noop", payload))
		return err
	}
	enqueue := func(w golines.Words) (string, error) {
		n, first, begun := int64(w.Int("n")), w.Int("first"), golines.MonoUs()
		var next atomic.Int64
		var all sync.WaitGroup
		var failed atomic.Pointer[error]
		for range senders {
			all.Go(func() {
				for i := next.Add(1) - 1; i < n; i = next.Add(1) - 1 {
					if err := send(first + int(i)); err != nil {
						failed.Store(&err)
						return
					}
				}
			})
		}
		all.Wait()
		if err := failed.Load(); err != nil {
			return "", *err
		}
		return fmt.Sprintf("us=%d", golines.MonoUs()-begun), nil
	}
	pulse := func(w golines.Words) (string, error) { return golines.Pulse(w, send) }
	golines.Serve(map[string]golines.Command{"enqueue": enqueue, "pulse": pulse}, "")
}

func worker() {
	var tally golines.Tally
	sleep := time.Duration(golines.Env("PEER_SLEEP_MS")) * time.Millisecond
	server := asynq.NewServer(redis(), asynq.Config{
		Concurrency:       golines.Env("PEER_CONCURRENCY"),
		TaskCheckInterval: 10 * time.Millisecond, // a second by default, for which a queue that ran dry stands still
		LogLevel:          asynq.WarnLevel,
	})
	handler := func(_ context.Context, task *asynq.Task) error {
		var data golines.Data
		if err := json.Unmarshal(task.Payload(), &data); err != nil {
			return err
		}
		tally.Note(data.I)
		if sleep > 0 {
			time.Sleep(sleep)
		}
		return nil
	}
	if err := server.Start(asynq.HandlerFunc(handler)); err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	golines.Serve(tally.Commands(), golines.Version("github.com/hibiken/asynq"))
	server.Shutdown()
}

func main() {
	if os.Args[1] == "producer" {
		producer()
	} else {
		worker()
	}
}
