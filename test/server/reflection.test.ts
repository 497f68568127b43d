import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { DescMessage } from '@bufbuild/protobuf';
import { create, createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import type { GrpcObject, ServiceClientConstructor } from '@grpc/grpc-js';
import { credentials, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { expect, test } from '@jest/globals';
import { startEdge } from './edge.ts';
import { RawConnection } from './raw-grpc.ts';

const protoDirectory = join(
  dirname(createRequire(import.meta.url).resolve('@grpc/reflection/package.json')),
  'build/proto',
);

interface Answer {
  readonly listServicesResponse?: { readonly service: readonly { readonly name: string }[] };
  readonly fileDescriptorResponse?: { readonly fileDescriptorProto: readonly Buffer[] };
  readonly errorResponse?: { readonly errorCode: number };
}

/** Asks one question through the published protos, as grpcurl does. */
async function ask(address: string, version: string, question: object): Promise<Answer> {
  const loaded = loadPackageDefinition(
    loadSync(`grpc/reflection/${version}/reflection.proto`, { includeDirs: [protoDirectory] }),
  );
  const ServerReflection = ['grpc', 'reflection', version, 'ServerReflection'].reduce(
    (object, name) => (object as GrpcObject)[name] as GrpcObject,
    loaded,
  ) as unknown as ServiceClientConstructor;
  const client = new ServerReflection(address, credentials.createInsecure());
  const stream = client.ServerReflectionInfo!() as unknown as AsyncIterable<Answer> & {
    write(question: object): void;
    end(): void;
  };
  stream.write(question);
  stream.end();
  for await (const answer of stream) {
    client.close();
    return answer;
  }
  throw new Error('no answer');
}

test.each(['v1', 'v1alpha'])(
  'reflection %s lists and describes everything without any files',
  async (version) => {
    const edge = await startEdge({}, { reflection: true });
    const listed = await ask(edge.address, version, { listServices: '*' });
    const names = listed.listServicesResponse?.service.map(({ name }) => name);
    expect(names?.toSorted()).toEqual([
      'grpc.health.v1.Health',
      'quartermaster.v1.QuartermasterNotary',
      'quartermaster.v1.QuartermasterRegistry',
    ]);
    for (const name of names ?? []) {
      const { fileDescriptorResponse } = await ask(edge.address, version, { fileContainingSymbol: name });
      const file = fileDescriptorResponse?.fileDescriptorProto.map((bytes) =>
        fromBinary(FileDescriptorProtoSchema, bytes),
      );
      // A registry can be made of the answer alone: all imports came with it, timestamp.proto too.
      const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: file!.reverse() }));
      const service = registry.getService(name)!;
      const messages: DescMessage[] = service.methods.flatMap(({ input, output }) => [input, output]);
      expect(messages.every(({ typeName }) => registry.getMessage(typeName) !== undefined)).toBe(true);
    }
    const details = await ask(edge.address, version, { fileContainingSymbol: 'google.rpc.ErrorInfo' });
    expect(details.fileDescriptorResponse?.fileDescriptorProto).toHaveLength(2);
    const unknown = await ask(edge.address, version, { fileContainingSymbol: '__proto__.nothing' });
    expect(unknown.errorResponse?.errorCode).toBe(5);
    await edge.stop();
  },
);

test('reflection is off where it is not asked for', async () => {
  const edge = await startEdge();
  const raw = new RawConnection(edge.port);
  const answer = await raw.call('/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', Buffer.alloc(0));
  expect(answer.code).toBe('UNIMPLEMENTED');
  raw.close();
  await edge.stop();
});
