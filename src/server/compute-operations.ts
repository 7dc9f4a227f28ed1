/** Prompts: what a node rebuilds, explains and generates, once for all doors. */
import type { TextBackend } from '../core/compute.ts'
import { MembraneError, unreachable } from '../core/errors.ts'
import type { Stopwatch } from '../core/ports.ts'
import type { IndexedFragment } from '../indices/indexed-fragment.ts'
import type { RebuildPlan } from '../reconstruct/rebuild-plan.ts'
import type { Caller } from './caller.ts'
import type { Gate } from './gate.ts'
import { generateText } from './generate-text.ts'
import type { GenerateRequest, Generation, PromptRequest, Rebuilt } from './generation.ts'
import type { Node } from './node.ts'

/** What computes: an engine with the memory before it, a service that keeps its KV, or nothing. */
export type Engine =
  | { readonly kind: 'node'; readonly node: Node }
  | { readonly kind: 'service'; readonly backend: TextBackend }
  | { readonly kind: 'none' }

export interface ComputeOperationsParts {
  readonly engine: Engine
  readonly gate: Gate
  readonly stopwatch: Stopwatch
}

/** A request without its tenant, which the credential says. */
export type Own<Request extends PromptRequest> = Omit<Request, 'tenant'>

/** Long enough to say what is there. */
const LOOK_MS = 1000

/** A prompt that was made ready, and the fragments that cover it. */
export interface Prefilled {
  readonly rebuilt: Rebuilt
  readonly fragments: readonly IndexedFragment[]
}

/** See the top of this file. */
export class ComputeOperations {
  readonly #parts: ComputeOperationsParts

  constructor(parts: ComputeOperationsParts) {
    this.#parts = parts
  }

  get engine(): Engine {
    return this.#parts.engine
  }

  /** What prompts can be asked of: one model, or none. */
  models(): readonly { readonly id: string; readonly ownedBy: string }[] {
    const { engine } = this.#parts
    switch (engine.kind) {
      case 'node':
        return [{ id: engine.node.backend.model.name, ownedBy: 'membrane' }]
      case 'service':
        return [{ id: engine.backend.model, ownedBy: engine.backend.name }]
      case 'none':
        return []
      default:
        return unreachable(engine)
    }
  }

  /** Throws NOT_SUPPORTED without an engine, and what it throws. */
  async generate(caller: Caller, request: Own<GenerateRequest>): Promise<Generation> {
    const { engine, gate, stopwatch } = this.#parts
    gate.enter(caller, 'write')
    const asked = { ...request, tenant: caller.tenant }
    switch (engine.kind) {
      case 'node':
        return engine.node.generate(asked)
      case 'service':
        return generateText(engine.backend, asked, stopwatch)
      case 'none':
        throw withoutEngine()
      default:
        return unreachable(engine)
    }
  }

  rebuild(caller: Caller, request: Own<PromptRequest> & { readonly wantsKvHash?: boolean }): Promise<Rebuilt> {
    this.#parts.gate.enter(caller, 'write')
    return this.#node().rebuild({ ...request, tenant: caller.tenant })
  }

  /** What a rebuild would do now. */
  explain(caller: Caller, request: Own<PromptRequest>): Promise<RebuildPlan> {
    this.#parts.gate.enter(caller, 'read')
    return this.#node().plan({ ...request, tenant: caller.tenant })
  }

  /** Makes a prompt ready, and says which fragments cover it then. */
  async prefill(caller: Caller, request: Own<PromptRequest>): Promise<Prefilled> {
    const rebuilt = await this.rebuild(caller, request)
    const fragments = await this.#node().fragmentsOf({ ...request, tenant: caller.tenant }, LOOK_MS)
    return { rebuilt, fragments }
  }

  /** Part of a request that was let in: leases what covers its prompt for `leaseMs` (LIMITS.leaseMsMax at most); how many fragments there are. */
  async keep(caller: Caller, request: Own<PromptRequest>, leaseMs: number): Promise<number> {
    const kept = await this.#node().fragmentsOf({ ...request, tenant: caller.tenant }, leaseMs)
    return kept.length
  }

  #node(): Node {
    const { engine } = this.#parts
    if (engine.kind === 'node') return engine.node
    if (engine.kind === 'none') throw withoutEngine()
    throw new MembraneError(
      'NOT_SUPPORTED',
      `${engine.backend.name} keeps its KV to itself: there is nothing to rebuild.`,
    )
  }
}

function withoutEngine(): MembraneError {
  return new MembraneError('NOT_SUPPORTED', 'This node was started without an engine.', {
    remedy: 'Start it with --compute cpu, or another one.',
  })
}
