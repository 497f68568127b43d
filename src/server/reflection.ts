import type { DescFile, DescService } from '@bufbuild/protobuf';
import { toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { ReflectionService } from '@grpc/reflection';
import { file_google_rpc_error_details } from '#gen/google/rpc/error_details_pb.js';
import { file_google_rpc_status } from '#gen/google/rpc/status_pb.js';
import { file_health_v1_health } from '#gen/health/v1/health_pb.js';
import type { ServiceHost } from './foreign-service.ts';

/**
 * Server reflection, v1 and v1alpha, of our services, health, and the details of errors: grpcurl lists, describes, calls and
 * explains without any files.
 */
export function addReflection(host: ServiceHost, services: readonly DescService[]): void {
  const files = new Map<string, DescFile>();
  const roots = [file_health_v1_health, file_google_rpc_status, file_google_rpc_error_details];
  for (const file of [...services.map((service) => service.file), ...roots]) collectFiles(file, files);
  // Of a proto-loader package, reflection reads the file descriptors and nothing else.
  const fileDescriptorProtos = [...files.values()].map((file) =>
    Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)),
  );
  const packageDefinition = { files: { fileDescriptorProtos } };
  const reflection = new ReflectionService(
    packageDefinition as unknown as ConstructorParameters<typeof ReflectionService>[0],
  );
  reflection.addToServer(host as Parameters<ReflectionService['addToServer']>[0]);
}

function collectFiles(file: DescFile, found: Map<string, DescFile>): void {
  // The name in the descriptor has the suffix, under which importers ask.
  if (found.has(file.proto.name)) return;
  found.set(file.proto.name, file);
  for (const dependency of file.dependencies) collectFiles(dependency, found);
}
