// Drive the services from Go: register a way to draw tasks, start a run, watch it, and list what it has learnt.
//
// It needs no generated code: the services tell their contracts by reflection. Compiled with Go 1.27, grpc 1.85,
// protobuf 1.36 and protoreflect 2, and run against `lwmecps up` by hand; our CI has no Go.
//
//	cd examples/go && go mod init example && go mod tidy
//	go run . -registry 127.0.0.1:50051 -learner 127.0.0.1:50053
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"time"

	"github.com/jhump/protoreflect/v2/grpcdynamic"
	"github.com/jhump/protoreflect/v2/grpcreflect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// service is one service, as it describes itself.
type service struct {
	stub    *grpcdynamic.Stub
	methods protoreflect.MethodDescriptors
}

func open(ctx context.Context, address, name string) (*service, error) {
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	client := grpcreflect.NewClientAuto(ctx, connection)
	file, err := client.FileContainingSymbol(protoreflect.FullName(name))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	described := file.Services().ByName(protoreflect.FullName(name).Name())
	return &service{grpcdynamic.NewStub(connection), described.Methods()}, nil
}

// request is the message of a method, from JSON.
func (s *service) request(method, json string) (protoreflect.MethodDescriptor, proto.Message, error) {
	described := s.methods.ByName(protoreflect.Name(method))
	message := dynamicpb.NewMessage(described.Input())
	return described, message, protojson.Unmarshal([]byte(json), message)
}

func (s *service) call(ctx context.Context, method, json string) (protoreflect.Message, error) {
	described, message, err := s.request(method, json)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	answer, err := s.stub.InvokeRpc(ctx, described, message)
	if err != nil {
		return nil, err
	}
	return answer.ProtoReflect(), nil
}

// field goes down into a message: field(answer, "task", "id").
func field(message protoreflect.Message, path ...protoreflect.Name) protoreflect.Value {
	value := protoreflect.ValueOfMessage(message)
	for _, name := range path {
		inner := value.Message()
		value = inner.Get(inner.Descriptor().Fields().ByName(name))
	}
	return value
}

func run(ctx context.Context, registryAddress, learnerAddress string) error {
	registry, err := open(ctx, registryAddress, "lwmecps.registry.v1.TaskRegistryService")
	if err != nil {
		return err
	}
	learner, err := open(ctx, learnerAddress, "lwmecps.learner.v1.LearnerService")
	if err != nil {
		return err
	}
	created, err := registry.call(ctx, "CreateTask",
		`{"distribution": {"family": "FAMILY_MEC_CITY", "nodes": 3, "deployments": 3}, "name": "from-go"}`)
	if err != nil {
		return err
	}
	task := field(created, "task", "id").String()
	fmt.Println("task:", task)
	started, err := learner.call(ctx, "StartTraining",
		fmt.Sprintf(`{"task_ids": [%q], "label": "from-go", "settings": {"total_episodes": 8}}`, task))
	if err != nil {
		return err
	}
	id := field(started, "run", "id").String()
	method, message, err := learner.request("WatchProgress", fmt.Sprintf(`{"run_id": %q}`, id))
	if err != nil {
		return err
	}
	news, err := learner.stub.InvokeRpcServerStream(ctx, method, message)
	if err != nil {
		return err
	}
	for {
		next, err := news.RecvMsg()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		fmt.Println("run:", id, "step", field(next.ProtoReflect(), "run", "step"))
	}
	found, err := registry.call(ctx, "ListPolicies", fmt.Sprintf(`{"run_id": %q}`, id))
	if err != nil {
		return err
	}
	policies := field(found, "policies").List()
	for i := 0; i < policies.Len(); i++ {
		fmt.Println("policy:", field(policies.Get(i).Message(), "id"))
	}
	return nil
}

func main() {
	registry := flag.String("registry", "127.0.0.1:50051", "host:port of the task-registry")
	learner := flag.String("learner", "127.0.0.1:50053", "host:port of a learner-service")
	flag.Parse()
	if err := run(context.Background(), *registry, *learner); err != nil {
		log.Fatal(err)
	}
}
