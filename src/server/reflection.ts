import type { DescFile, DescService } from '@bufbuild/protobuf';
import { toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { ReflectionService } from '@grpc/reflection';
import { service as healthService } from 'grpc-health-check';
import type { ServiceHost } from './foreign-service.ts';

/** Server reflection, v1 and v1alpha, of our services and health: `grpcurl list` and `describe` work without any files. */
export function addReflection(host: ServiceHost, services: readonly DescService[]): void {
  const files = new Map<string, DescFile>();
  for (const { file } of services) collectFiles(file, files);
  const ours = [...files.values()].map((file) =>
    Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)),
  );
  // Of a proto-loader package, reflection reads the file descriptors and nothing else.
  const health = Object.values(healthService).flatMap((method) =>
    'requestType' in method
      ? (method.requestType as { fileDescriptorProtos: Buffer[] }).fileDescriptorProtos
      : [],
  );
  const packageDefinition = { files: { fileDescriptorProtos: [...ours, ...health] } };
  const reflection = new ReflectionService(
    packageDefinition as unknown as ConstructorParameters<typeof ReflectionService>[0],
  );
  reflection.addToServer(host as Parameters<ReflectionService['addToServer']>[0]);
}

function collectFiles(file: DescFile, found: Map<string, DescFile>): void {
  if (found.has(file.name)) return;
  found.set(file.name, file);
  for (const dependency of file.dependencies) collectFiles(dependency, found);
}
