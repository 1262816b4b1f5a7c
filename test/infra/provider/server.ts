// The engine's protocol for providers (ResourceProvider, gRPC). Pulumi's own server for Node tells providers neither that it is only a
// preview nor what they are configured with; both matter here.
import { createRequire } from 'node:module';
import * as grpc from '@grpc/grpc-js';
import type { IResourceProviderServer } from '@pulumi/pulumi/proto/provider_grpc_pb.js';
import type { CheckRequest } from '@pulumi/pulumi/proto/provider_pb.js';
import type { Problem } from './check.ts';

export type Properties = Record<string, unknown>;

export interface Cloud {
  readonly version: string;
  /** What is wrong with the provider's own inputs. */
  checkConfig(inputs: Properties): readonly Problem[];
  check(urn: string, inputs: Properties): readonly Problem[];
  isChanged(outputs: Properties, inputs: Properties): boolean;
  /** In a preview nothing is made, and what only the cloud knows is unknown. */
  create(urn: string, inputs: Properties, preview: boolean): Promise<{ id: string; outputs: Properties }>;
  update(id: string, urn: string, inputs: Properties, preview: boolean): Promise<Properties>;
  delete(id: string, urn: string, outputs: Properties): Promise<void>;
  invoke(token: string, args: Properties): Properties;
}

const load = createRequire(import.meta.url);
const services = load('@pulumi/pulumi/proto/provider_grpc_pb.js');
const messages = load('@pulumi/pulumi/proto/provider_pb.js') as typeof import('@pulumi/pulumi/proto/provider_pb.js');
const plugin = load('@pulumi/pulumi/proto/plugin_pb.js') as typeof import('@pulumi/pulumi/proto/plugin_pb.js');
const { Struct } = load('google-protobuf/google/protobuf/struct_pb.js') as typeof import('google-protobuf/google/protobuf/struct_pb.js');
const { Empty } = load('google-protobuf/google/protobuf/empty_pb.js') as typeof import('google-protobuf/google/protobuf/empty_pb.js');

type StructMessage = InstanceType<typeof Struct>;
const read = (struct: StructMessage | undefined): Properties => (struct?.toJavaScript() ?? {}) as Properties;
const write = (value: Properties): StructMessage => Struct.fromJavaScript(value as Parameters<typeof Struct.fromJavaScript>[0]);

/** Serves a cloud on a free port, which is printed, as the engine expects it. */
export async function serve(cloud: Cloud): Promise<void> {
  const checked = (request: CheckRequest, problems: readonly Problem[]) => {
    const response = new messages.CheckResponse();
    response.setInputs(request.getNews());
    for (const { property, reason } of problems) {
      const failure = new messages.CheckFailure();
      failure.setProperty(property);
      failure.setReason(reason);
      response.addFailures(failure);
    }
    return response;
  };
  const handlers: Partial<IResourceProviderServer> = {
    getPluginInfo: answering(async () => {
      const info = new plugin.PluginInfo();
      info.setVersion(cloud.version);
      return info;
    }),
    checkConfig: answering(async (request) => checked(request, cloud.checkConfig(read(request.getNews())))),
    diffConfig: answering(async () => new messages.DiffResponse()),
    configure: answering(async () => {
      const response = new messages.ConfigureResponse();
      response.setAcceptsecrets(true);
      response.setSupportspreview(true);
      return response;
    }),
    check: answering(async (request) => checked(request, cloud.check(request.getUrn(), read(request.getNews())))),
    diff: answering(async (request) => {
      const response = new messages.DiffResponse();
      const isChanged = cloud.isChanged(read(request.getOlds()), read(request.getNews()));
      const { DIFF_SOME, DIFF_NONE } = messages.DiffResponse.DiffChanges;
      response.setChanges(isChanged ? DIFF_SOME : DIFF_NONE);
      return response;
    }),
    create: answering(async (request) => {
      const { id, outputs } = await cloud.create(request.getUrn(), read(request.getProperties()), request.getPreview());
      const response = new messages.CreateResponse();
      response.setId(request.getPreview() ? '' : id);
      response.setProperties(write(outputs));
      return response;
    }),
    update: answering(async (request) => {
      const response = new messages.UpdateResponse();
      response.setProperties(write(await cloud.update(request.getId(), request.getUrn(), read(request.getNews()), request.getPreview())));
      return response;
    }),
    delete: answering(async (request) => {
      await cloud.delete(request.getId(), request.getUrn(), read(request.getProperties()));
      return new Empty();
    }),
    invoke: answering(async (request) => {
      const response = new messages.InvokeResponse();
      response.setReturn(write(cloud.invoke(request.getTok(), read(request.getArgs()))));
      return response;
    }),
    cancel: answering(async () => new Empty()),
  };
  const server = new grpc.Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 });
  server.addService(services.ResourceProviderService, handlers as grpc.UntypedServiceImplementation);
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, p) => (error ? reject(error) : resolve(p))),
  );
  console.log(`${port}`);
}

/** What a handler throws is the engine's to show. */
function answering<Request, Response>(handle: (request: Request) => Promise<Response>): grpc.handleUnaryCall<Request, Response> {
  return (call, callback) => {
    handle(call.request).then(
      (response) => callback(null, response),
      (error: Error) => callback({ code: grpc.status.UNKNOWN, details: error.message }),
    );
  };
}
