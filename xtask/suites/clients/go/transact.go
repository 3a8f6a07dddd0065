package main

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
)

// transact reads and writes the topic in a transaction that is committed and in one that is aborted.
// franz-go commits offsets in a transaction only for a group of which it is a member: one of its own, so that G has none.
func transact(a arguments) error {
	session, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(a.bootstrap),
		kgo.TransactionalID(transactionalID(a)),
		kgo.ConsumerGroup(a.group+"-transact"),
		kgo.ConsumeTopics(a.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	)
	if err != nil {
		return err
	}
	defer session.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
		if err := transactOnce(ctx, session, a.topic, end); err != nil {
			return err
		}
	}
	return nil
}

// transactOnce answers a read with one record, in one transaction.
func transactOnce(ctx context.Context, session *kgo.GroupTransactSession, topic string, end kgo.TransactionEndTry) error {
	if err := session.PollFetches(ctx).Err(); err != nil {
		return err
	}
	if err := session.Begin(); err != nil {
		return err
	}
	answer := &kgo.Record{Topic: topic, Value: []byte("in a transaction")}
	if err := session.ProduceSync(ctx, answer).FirstErr(); err != nil {
		return err
	}
	_, err := session.End(ctx, end)
	return err
}

func transactionalID(a arguments) string {
	return a.topic + "-transact"
}
