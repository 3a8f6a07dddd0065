package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	chunkRecords    = 200
	chunksPerCommit = 5
	// A member works slowly on purpose: so there is something left to do when one of them is killed.
	chunkPause = 20 * time.Millisecond
)

// worker is what a member has read and not yet committed.
// Rebalances are blocked between a poll and AllowRebalance, so nothing here is touched by two goroutines at once.
type worker struct {
	topic       string
	owned       map[int32]bool
	uncommitted map[int32]kgo.EpochOffset
	chunks      int
}

func member(a arguments) error {
	w := &worker{topic: a.topic, owned: map[int32]bool{}, uncommitted: map[int32]kgo.EpochOffset{}}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(a.bootstrap),
		kgo.ConsumerGroup(a.group),
		kgo.ConsumeTopics(a.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(6*time.Second),
		kgo.HeartbeatInterval(500*time.Millisecond),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(w.assigned),
		kgo.OnPartitionsRevoked(w.revoked),
		kgo.OnPartitionsLost(w.lost),
	)
	if err != nil {
		return err
	}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	for stop.Err() == nil {
		if err := w.poll(stop, client); err != nil {
			return err
		}
	}
	err = w.settle(client, w.uncommitted)
	client.AllowRebalance()
	client.Close()
	return err
}

func (w *worker) poll(stop context.Context, client *kgo.Client) error {
	defer client.AllowRebalance()
	wait, cancel := context.WithTimeout(stop, 200*time.Millisecond)
	defer cancel()
	fetches := client.PollRecords(wait, chunkRecords)
	for _, failure := range fetches.Errors() {
		if !errors.Is(failure.Err, context.DeadlineExceeded) && !errors.Is(failure.Err, context.Canceled) {
			return failure.Err
		}
	}
	if fetches.NumRecords() == 0 {
		return w.settle(client, w.uncommitted)
	}
	w.process(fetches)
	if w.chunks%chunksPerCommit == 0 {
		return w.settle(client, w.uncommitted)
	}
	return nil
}

func (w *worker) process(fetches kgo.Fetches) {
	ranges := [][3]int64{}
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) == 0 {
			return
		}
		last := p.Records[len(p.Records)-1]
		ranges = append(ranges, [3]int64{int64(p.Partition), p.Records[0].Offset, last.Offset + 1})
		w.uncommitted[p.Partition] = kgo.EpochOffset{Epoch: last.LeaderEpoch, Offset: last.Offset + 1}
	})
	emit(map[string]any{"event": "read", "ranges": ranges})
	time.Sleep(chunkPause)
	w.chunks++
}

// settle commits the offsets, tells it, and forgets them.
func (w *worker) settle(client *kgo.Client, offsets map[int32]kgo.EpochOffset) error {
	if len(offsets) == 0 {
		return nil
	}
	told := [][2]int64{}
	for partition, o := range offsets {
		told = append(told, [2]int64{int64(partition), o.Offset})
	}
	emit(map[string]any{"event": "committing", "offsets": told})
	var refused error
	client.CommitOffsetsSync(context.Background(), map[string]map[int32]kgo.EpochOffset{w.topic: offsets},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
			refused = errors.Join(err, refusal(answer))
		})
	if refused != nil {
		return refused
	}
	emit(map[string]any{"event": "committed", "offsets": told})
	for _, pair := range told {
		delete(w.uncommitted, int32(pair[0]))
	}
	return nil
}

// refusal is the first error that the broker gave for a partition.
func refusal(answer *kmsg.OffsetCommitResponse) error {
	if answer == nil {
		return nil
	}
	for _, topic := range answer.Topics {
		for _, partition := range topic.Partitions {
			if err := kerr.ErrorForCode(partition.ErrorCode); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *worker) assigned(_ context.Context, _ *kgo.Client, added map[string][]int32) {
	for _, partition := range added[w.topic] {
		w.owned[partition] = true
	}
	partitions := []int32{}
	for partition := range w.owned {
		partitions = append(partitions, partition)
	}
	emit(map[string]any{"event": "assigned", "partitions": partitions})
}

func (w *worker) revoked(_ context.Context, client *kgo.Client, removed map[string][]int32) {
	offsets := map[int32]kgo.EpochOffset{}
	for _, partition := range removed[w.topic] {
		delete(w.owned, partition)
		if offset, some := w.uncommitted[partition]; some {
			offsets[partition] = offset
		}
	}
	if err := w.settle(client, offsets); err != nil {
		fail(err)
	}
}

func (w *worker) lost(_ context.Context, _ *kgo.Client, removed map[string][]int32) {
	for _, partition := range removed[w.topic] {
		delete(w.owned, partition)
		delete(w.uncommitted, partition)
	}
}

func emit(event map[string]any) {
	line, _ := json.Marshal(event)
	_, _ = os.Stdout.Write(append(line, '\n'))
}
