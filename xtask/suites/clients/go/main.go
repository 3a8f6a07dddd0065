// The program of franz-go. Its commands and what it prints are told in the README beside this folder.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const patience = 60 * time.Second

var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

type arguments struct {
	bootstrap, topic, codec, rows, group string
	partitions, count                    int
}

type record struct {
	Partition int32       `json:"partition"`
	Offset    int64       `json:"offset"`
	Timestamp int64       `json:"timestamp"`
	Key       *string     `json:"key"`
	Value     string      `json:"value"`
	Headers   [][2]string `json:"headers"`
}

func main() {
	commands := map[string]func(arguments) error{
		"create": create, "write": write, "read": read, "member": member, "transact": transact, "admin": admin,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fail(errors.New("usage: create|write|read|member|transact|admin --bootstrap B --topic T …"))
	}
	var a arguments
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.StringVar(&a.bootstrap, "bootstrap", "", "host:port")
	flags.StringVar(&a.topic, "topic", "", "")
	flags.StringVar(&a.codec, "codec", "none", "none, gzip, snappy, lz4 or zstd")
	flags.StringVar(&a.rows, "rows", "", "file of rows")
	flags.StringVar(&a.group, "group", "", "")
	flags.IntVar(&a.partitions, "partitions", 1, "")
	flags.IntVar(&a.count, "count", 0, "records to read")
	_ = flags.Parse(os.Args[2:])
	if err := commands[os.Args[1]](a); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func create(a arguments) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(a.bootstrap))
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = kadm.NewClient(client).CreateTopic(context.Background(), int32(a.partitions), 1, nil, a.topic)
	return err
}

func write(a arguments) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(a.bootstrap),
		kgo.ProducerBatchCompression(codecs[a.codec]),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(20*time.Millisecond),
		kgo.AllowAutoTopicCreation(),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	file, err := os.Open(a.rows)
	if err != nil {
		return err
	}
	defer file.Close()
	failed := kgo.AbortingFirstErrPromise(client)
	rows := json.NewDecoder(bufio.NewReader(file))
	for rows.More() {
		var row record
		if err := rows.Decode(&row); err != nil {
			return err
		}
		client.Produce(context.Background(), message(a.topic, row), failed.Promise())
	}
	return failed.Err()
}

func message(topic string, row record) *kgo.Record {
	m := &kgo.Record{
		Topic: topic, Partition: row.Partition, Timestamp: time.UnixMilli(row.Timestamp), Value: []byte(row.Value),
	}
	if row.Key != nil {
		m.Key = []byte(*row.Key)
	}
	for _, header := range row.Headers {
		m.Headers = append(m.Headers, kgo.RecordHeader{Key: header[0], Value: []byte(header[1])})
	}
	return m
}

func read(a arguments) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(a.bootstrap),
		kgo.ConsumeTopics(a.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	for left := a.count; left > 0; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("%d records missing: %w", left, err)
		}
		left -= fetches.NumRecords()
		fetches.EachRecord(func(m *kgo.Record) { _ = lines.Encode(row(m)) })
	}
	return nil
}

func row(m *kgo.Record) record {
	r := record{
		Partition: m.Partition, Offset: m.Offset, Timestamp: m.Timestamp.UnixMilli(), Value: string(m.Value),
		Headers: [][2]string{},
	}
	if m.Key != nil {
		key := string(m.Key)
		r.Key = &key
	}
	for _, header := range m.Headers {
		r.Headers = append(r.Headers, [2]string{header.Key, string(header.Value)})
	}
	return r
}
