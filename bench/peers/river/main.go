// SPDX-License-Identifier: Apache-2.0

// River on PostgreSQL as a peer: "producer" or "worker". Many jobs go through InsertManyFast (COPY), and the worker polls at short intervals
// with thousands of goroutines. The short polls are a choice of ours: the fastest of a few that were tried.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"dureq/bench/peers/golines"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

type noopArgs struct{ golines.Data }

func (noopArgs) Kind() string { return "bench.noop" }

type noop struct {
	river.WorkerDefaults[noopArgs]
	tally golines.Tally
	sleep time.Duration
}

func (w *noop) Work(_ context.Context, job *river.Job[noopArgs]) error {
	w.tally.Note(job.Args.I)
	if w.sleep > 0 {
		time.Sleep(w.sleep)
	}
	return nil
}

func check(err error) {
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
}

func connect(ctx context.Context) *riverpgxv5.Driver {
	pool, err := pgxpool.New(ctx, os.Getenv("PEER_DATABASE"))
	check(err)
	driver := riverpgxv5.New(pool)
	migrator, err := rivermigrate.New(driver, nil)
	check(err)
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	check(err)
	return driver
}

func logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}

func producer(ctx context.Context) {
	client, err := river.NewClient(connect(ctx), &river.Config{Logger: logger()})
	check(err)
	enqueue := func(w golines.Words) (string, error) {
		n, first, batch, begun := w.Int("n"), w.Int("first"), w.Int("batch"), golines.MonoUs()
		for at := 0; at < n; at += batch {
			jobs := make([]river.InsertManyParams, 0, batch)
			for i := at; i < min(n, at+batch); i++ {
				jobs = append(jobs, river.InsertManyParams{Args: noopArgs{golines.NewData(first + i)}})
			}
			if _, err := client.InsertManyFast(ctx, jobs); err != nil {
				return "", err
			}
		}
		return fmt.Sprintf("us=%d", golines.MonoUs()-begun), nil
	}
	pulse := func(w golines.Words) (string, error) {
		return golines.Pulse(w, func(i int) error {
			_, err := client.Insert(ctx, noopArgs{golines.NewData(i)}, nil)
			return err
		})
	}
	golines.Serve(map[string]golines.Command{"enqueue": enqueue, "pulse": pulse}, "")
}

func worker(ctx context.Context) {
	work := &noop{sleep: time.Duration(golines.Env("PEER_SLEEP_MS")) * time.Millisecond}
	workers := river.NewWorkers()
	river.AddWorker(workers, work)
	client, err := river.NewClient(connect(ctx), &river.Config{
		Logger:            logger(),
		FetchCooldown:     2 * time.Millisecond,
		FetchPollInterval: 20 * time.Millisecond,
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: golines.Env("PEER_CONCURRENCY")}},
		Workers:           workers,
	})
	check(err)
	check(client.Start(ctx))
	golines.Serve(work.tally.Commands(), golines.Version("github.com/riverqueue/river"))
	check(client.Stop(ctx))
}

func main() {
	if os.Args[1] == "producer" {
		producer(context.Background())
	} else {
		worker(context.Background())
	}
}
