/**
 * Error details as google.rpc.Status in the trailer `grpc-status-details-bin`, the way that gRPC clients of all
 * languages know (https://google.aip.dev/193).
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { anyIs, anyPack, anyUnpack, durationFromMs, durationMs } from '@bufbuild/protobuf/wkt';
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from '#gen/google/rpc/error_details_pb.js';
import { StatusSchema } from '#gen/google/rpc/status_pb.js';

/** Key of the trailer. */
export const STATUS_DETAILS = 'grpc-status-details-bin';

export interface StatusDetails {
  /** `ErrorInfo.reason`: stable, for programs. */
  readonly reason: string;
  /** `ErrorInfo.domain`. */
  readonly domain: string;
  /** What was wrong with which field of the request. */
  readonly violations: readonly { readonly field: string; readonly description: string }[];
  /** Present where a retry makes sense, and then how long to wait first. */
  readonly retryDelayMs: number | undefined;
}

/** The bytes of the trailer. */
export function encodeStatusDetails(code: number, message: string, details: StatusDetails): Uint8Array {
  const packed: Any[] = [
    anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason: details.reason, domain: details.domain })),
  ];
  if (details.violations.length > 0) {
    const fieldViolations = details.violations.map(({ field, description }) => ({ field, description }));
    packed.push(anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations })));
  }
  if (details.retryDelayMs !== undefined) {
    const retryDelay = durationFromMs(details.retryDelayMs);
    packed.push(anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay })));
  }
  return toBinary(StatusSchema, create(StatusSchema, { code, message, details: packed }));
}

/**
 * Reads the details of an error that a call failed with.
 *
 * @param error Anything; `undefined` comes back for what carries no readable details (they come from the network).
 */
export function statusDetails(error: unknown): StatusDetails | undefined {
  const bytes = trailerOf(error);
  if (bytes === undefined) return undefined;
  try {
    const details = fromBinary(StatusSchema, bytes).details;
    const info = first(details, ErrorInfoSchema);
    const delay = first(details, RetryInfoSchema)?.retryDelay;
    return {
      reason: info?.reason ?? '',
      domain: info?.domain ?? '',
      violations: first(details, BadRequestSchema)?.fieldViolations ?? [],
      retryDelayMs: delay === undefined ? undefined : durationMs(delay),
    };
  } catch {
    return undefined;
  }
}

type DetailSchema = typeof ErrorInfoSchema | typeof BadRequestSchema | typeof RetryInfoSchema;

function first<Desc extends DetailSchema>(details: readonly Any[], schema: Desc) {
  const any = details.find((detail) => anyIs(detail, schema));
  return any === undefined ? undefined : anyUnpack<Desc>(any, schema);
}

function trailerOf(error: unknown): Uint8Array | undefined {
  if (typeof error !== 'object' || error === null || !('metadata' in error)) return undefined;
  const metadata = error.metadata as { get?: (key: string) => readonly unknown[] } | undefined;
  const value = metadata?.get?.(STATUS_DETAILS)[0];
  return value instanceof Uint8Array ? value : undefined;
}
