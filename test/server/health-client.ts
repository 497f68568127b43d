import { Health, HealthCheckResponse_ServingStatus } from '#gen/health/v1/health_pb.js';
import { createClient } from '../../src/rpc/client.ts';

/** grpc.health.v1, with statuses by name. */
export function healthClient(address: string) {
  const client = createClient(Health, address);
  return {
    async check(service: string): Promise<string | undefined> {
      return HealthCheckResponse_ServingStatus[(await client.check({ service })).status];
    },
    async *watch(service: string): AsyncGenerator<string | undefined> {
      for await (const { status } of client.watch({ service }))
        yield HealthCheckResponse_ServingStatus[status];
    },
    close: () => client.close(),
  };
}
