import { randomUUID } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import {
  type CreateAnchorRequest,
  type CreateAnchorResponse,
  CreateAnchorResponseSchema,
  type GetConsistencyProofRequest,
  type GetConsistencyProofResponse,
  GetConsistencyProofResponseSchema,
  GetInclusionProofResponseSchema,
  QuartermasterNotary,
} from '#gen/quartermaster/v1/notary_pb.js';
import { parseCheckpoint } from '../../src/note/index.ts';
import { type Received, serviceDefinition } from '../../src/rpc/service-definition.ts';
import { type Answer, honestly, LIES, type LieName, proven, type Question } from './lies.ts';
import { SignedLog, vkeyOf } from './signed-log.ts';

const SEED_BYTE = 1;

/**
 * A notary over real gRPC, with real trees and real signatures, that is honest until it is told to lie. What it says in a lie
 * is not kept: its log goes on from what was answered honestly.
 */
export class LyingNotary {
  /** the log where anchors go; set it to put another one in its place */
  log: SignedLog;
  /** a lie by name, or an answer of the test's own; undefined for the truth */
  lie: LieName | ((question: Question) => Answer) | undefined;
  /** what GetConsistencyProof fails with; undefined for the truth */
  refusesPaths: status | undefined;
  /** the log that GetConsistencyProof answers from, in the order in which it is asked; then `log` */
  readonly pathsFrom: SignedLog[] = [];
  /** waited for before an answer is sent */
  beforeAnswer: (() => Promise<void>) | undefined;
  readonly requests: CreateAnchorRequest[] = [];
  readonly askedPaths: string[] = [];
  /** log index of each request that was anchored honestly */
  readonly anchored = new Map<string, number>();

  readonly #server = new Server();
  #port = 0;

  private constructor(clusterId: string) {
    this.log = new SignedLog(clusterId, [SEED_BYTE]);
  }

  static async start(clusterId: string = randomUUID()): Promise<LyingNotary> {
    const notary = new LyingNotary(clusterId);
    notary.#server.addService(serviceDefinition(QuartermasterNotary), {
      createAnchor: unary((request: CreateAnchorRequest) => notary.#createAnchor(request)),
      getConsistencyProof: unary((request: GetConsistencyProofRequest) =>
        notary.#getConsistencyProof(request),
      ),
      // It keeps no leaves.
      getInclusionProof: unary(async () => create(GetInclusionProofResponseSchema)),
    });
    notary.#port = await new Promise<number>((resolve, reject) => {
      notary.#server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
        if (error === null) resolve(port);
        else reject(error);
      });
    });
    return notary;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  get clusterId(): string {
    return this.log.clusterId;
  }

  /** The key to pin. */
  get vkey(): string {
    return vkeyOf(this.log.clusterId, SEED_BYTE);
  }

  stop(): void {
    this.#server.forceShutdown();
  }

  async #createAnchor(request: CreateAnchorRequest): Promise<CreateAnchorResponse> {
    this.requests.push(request);
    const { logIndex, ...answer } = this.#answer(request);
    await this.beforeAnswer?.();
    return create(CreateAnchorResponseSchema, {
      ...answer,
      logIndex: BigInt(logIndex),
      leafIndices: [...answer.leafIndices],
      recordPath: [...answer.recordPath],
      consistencyPath: [...answer.consistencyPath],
    });
  }

  #answer({ requestId, knownCheckpoint, packedLeaves, etcdRevision }: CreateAnchorRequest): Answer {
    const known = knownCheckpoint === '' ? undefined : parseCheckpoint(knownCheckpoint).checkpoint;
    const question: Question = {
      log: this.log,
      knownSize: known?.origin === this.log.origin ? known.size : undefined,
      leaves: Array.from({ length: packedLeaves.length / 32 }, (_, i) =>
        packedLeaves.slice(i * 32, i * 32 + 32),
      ),
      etcdRevision,
      requestId,
    };
    if (typeof this.lie === 'function') return this.lie(question);
    return this.lie === undefined ? this.truth(question) : LIES[this.lie].answer(question);
  }

  /** The honest answer, which is kept. */
  truth(question: Question): Answer {
    const { requestId } = question;
    const before = this.anchored.get(requestId);
    if (before !== undefined) return { ...proven(question, this.log, before), replayed: true };
    const answer = honestly(question);
    this.log = this.log.with(answer.record);
    this.anchored.set(requestId, answer.logIndex);
    return answer;
  }

  async #getConsistencyProof(request: GetConsistencyProofRequest): Promise<GetConsistencyProofResponse> {
    const [first, second] = [Number(request.firstSize), Number(request.secondSize)];
    this.askedPaths.push(`${first} to ${second}`);
    if (this.refusesPaths !== undefined) throw new Refused(this.refusesPaths);
    const log = this.pathsFrom.shift() ?? this.log;
    if (second > log.size) throw new Refused(status.OUT_OF_RANGE);
    const consistencyPath = log.upTo(second).consistencyPath(first);
    return create(GetConsistencyProofResponseSchema, { consistencyPath });
  }
}

class Refused extends Error {
  readonly code: status;

  constructor(code: status) {
    super(`refused with ${status[code]}`);
    this.code = code;
  }
}

function unary<Request, Response>(handle: (request: Request) => Promise<Response>) {
  return (call: ServerUnaryCall<Received<Request>, Response>, callback: sendUnaryData<Response>): void => {
    const { request } = call;
    if (!request.ok) {
      callback({ code: status.INVALID_ARGUMENT, details: 'malformed', metadata: new Metadata() });
      return;
    }
    handle(request.message).then(
      (response) => callback(null, response),
      (error: Error & { readonly code?: status }) =>
        callback({ code: error.code ?? status.INTERNAL, details: error.message, metadata: new Metadata() }),
    );
  };
}
