package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// admin asks for what an administrator can ask, once each; each answer is looked at for an error only.
func admin(a arguments) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(a.bootstrap))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	adm := kadm.NewClient(client)
	return errors.Join(
		administerTopics(ctx, adm, a.topic+"-spare"),
		administerGroup(ctx, adm, a.group, a.topic),
		administerTransactions(ctx, adm, transactionalID(a)),
		administerRecords(ctx, adm, a.topic),
	)
}

func administerTopics(ctx context.Context, adm *kadm.Client, topic string) error {
	change := kadm.AlterConfig{Name: "retention.ms", Value: kadm.StringPtr("1000")}
	_, created := adm.CreateTopic(ctx, 1, 1, nil, topic)
	_, grown := adm.UpdatePartitions(ctx, 2, topic)
	_, altered := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{change}, topic)
	_, replaced := adm.AlterTopicConfigsState(ctx, []kadm.AlterConfig{change}, topic)
	_, described := adm.DescribeTopicConfigs(ctx, topic)
	_, resources := adm.ListConfigResources(ctx)
	_, directories := adm.DescribeAllLogDirs(ctx, nil)
	_, listed := adm.ListTopics(ctx)
	_, deleted := adm.DeleteTopics(ctx, topic)
	return named("topics", created, grown, altered, replaced, described, resources, directories, listed, deleted)
}

func administerGroup(ctx context.Context, adm *kadm.Client, group, topic string) error {
	start := kadm.Offsets{}
	start.AddOffset(topic, 0, 0, -1)
	first := kadm.TopicsSet{}
	first.Add(topic, 0)
	_, listed := adm.ListGroups(ctx)
	_, described := adm.DescribeGroups(ctx, group)
	_, fetched := adm.FetchOffsets(ctx, group)
	_, committed := adm.CommitOffsets(ctx, group, start)
	_, forgotten := adm.DeleteOffsets(ctx, group, first)
	_, deleted := adm.DeleteGroups(ctx, group)
	return named("groups", listed, described, fetched, committed, forgotten, deleted)
}

func administerTransactions(ctx context.Context, adm *kadm.Client, id string) error {
	_, listed := adm.ListTransactions(ctx, nil, nil)
	_, described := adm.DescribeTransactions(ctx, id)
	return named("transactions", listed, described)
}

func administerRecords(ctx context.Context, adm *kadm.Client, topic string) error {
	first := kadm.TopicsSet{}
	first.Add(topic, 0)
	before := kadm.Offsets{}
	before.AddOffset(topic, 0, 1, -1)
	epochs := kadm.OffsetForLeaderEpochRequest{}
	epochs.Add(topic, 0, 0)
	_, starts := adm.ListStartOffsets(ctx, topic)
	_, newest := adm.ListMaxTimestampOffsets(ctx, topic)
	_, timed := adm.ListOffsetsAfterMilli(ctx, 0, topic)
	_, ends := adm.OffsetForLeaderEpoch(ctx, epochs)
	_, producers := adm.DescribeProducers(ctx, first)
	_, deleted := adm.DeleteRecords(ctx, before)
	return named("records", starts, newest, timed, ends, producers, deleted)
}

func named(what string, refusals ...error) error {
	if err := errors.Join(refusals...); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
