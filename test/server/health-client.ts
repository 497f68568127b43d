import type { Client, GrpcObject, ServiceClientConstructor } from '@grpc/grpc-js';
import { credentials, loadPackageDefinition } from '@grpc/grpc-js';
import { service } from 'grpc-health-check';

interface HealthResponse {
  readonly status: string;
}

/** A client made of the published health.proto, as other people's are. */
export function healthClient(address: string) {
  const definition = loadPackageDefinition({ 'grpc.health.v1.Health': service }) as GrpcObject;
  const packages = definition as unknown as {
    grpc: { health: { v1: { Health: ServiceClientConstructor } } };
  };
  const client: Client = new packages.grpc.health.v1.Health(address, credentials.createInsecure());
  const { Check, Watch } = service as unknown as Record<
    'Check' | 'Watch',
    {
      path: string;
      requestSerialize: (value: object) => Buffer;
      responseDeserialize: (bytes: Buffer) => HealthResponse;
    }
  >;
  return {
    check: (name: string) =>
      new Promise<string>((resolve, reject) => {
        client.makeUnaryRequest(
          Check.path,
          Check.requestSerialize,
          Check.responseDeserialize,
          { service: name },
          (error, response) => (error === null ? resolve(response?.status ?? '') : reject(error)),
        );
      }),
    async *watch(name: string): AsyncGenerator<string> {
      const stream = client.makeServerStreamRequest(
        Watch.path,
        Watch.requestSerialize,
        Watch.responseDeserialize,
        { service: name },
      );
      for await (const { status } of stream) yield status;
    },
    close: () => client.close(),
  };
}
