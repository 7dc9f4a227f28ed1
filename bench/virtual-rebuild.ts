/**
 * Carries out a plan in virtual time as a node does: reads start in order, a few at a time, each waits for its first
 * byte and then shares the link with the others under way; the engine goes through the steps in order, and computes
 * when all before is there. Written apart from the planner's own estimate, event by event, so that it can prove it wrong.
 */
import type { MeasuredRates } from '../src/policy/measured-rates.ts'
import type { PlanStep, ReuseCandidate } from '../src/reconstruct/rebuild-plan.ts'
import { seededRandom, standardNormal } from '../src/core/random.ts'

/** What carries out steps and says after how many seconds the prompt was ready; what it saw goes to the rates. */
export interface Rig {
  readonly rebuild: (steps: readonly PlanStep[], candidates: readonly ReuseCandidate[], rates: MeasuredRates) => number
}

export interface VirtualLink {
  readonly bytesPerSecond: number
  readonly latencySeconds: number
  readonly parallelReads: number
  readonly seed: number
}

/** A small model on two cores. */
const CALL_SECONDS = 5e-4
const SECONDS_PER_TOKEN = 1.2e-4
const SECONDS_PER_PAIR = 4e-8
const NOISE_RATIO = 0.05

interface Read {
  readonly step: number
  readonly startSeconds: number
  readonly firstByteSeconds: number
  leftBytes: number
}

export function virtualRig(link: VirtualLink): Rig {
  const random = seededRandom(link.seed)
  const noise = (): number => Math.max(0.5, 1 + NOISE_RATIO * standardNormal(random))
  return {
    rebuild: (steps, candidates, rates) => {
      const done = readAll(steps, link, noise)
      let ready = 0
      for (const [k, { span, index, bytes }] of steps.entries()) {
        const read = done.get(k)
        const candidate = candidates[index ?? -1]
        if (read !== undefined && candidate !== undefined) {
          rates.observeRead(candidate.place, bytes, read.seconds)
          ready = Math.max(ready, read.endSeconds)
          continue
        }
        const seconds = noise() * computeSeconds(span)
        rates.observePrefill(span, seconds)
        ready += seconds
      }
      return ready
    },
  }
}

function computeSeconds({ start, end }: PlanStep['span']): number {
  return CALL_SECONDS + SECONDS_PER_TOKEN * (end - start) + (SECONDS_PER_PAIR * (end - start) * (end + start)) / 2
}

interface Done {
  readonly endSeconds: number
  /** What the read would have taken alone: its wait, and its bytes at the whole link's speed. */
  readonly seconds: number
}

/** From event to event: a first byte, or a last one. */
function readAll(steps: readonly PlanStep[], link: VirtualLink, noise: () => number): Map<number, Done> {
  const waiting = steps.flatMap(({ index }, step) => (index === null ? [] : [step]))
  const done = new Map<number, Done>()
  const speed = link.bytesPerSecond / noise()
  let now = 0
  let open: Read[] = []
  while (waiting.length > 0 || open.length > 0) {
    while (open.length < link.parallelReads && waiting.length > 0) {
      const step = waiting.shift() ?? 0
      const firstByteSeconds = now + link.latencySeconds * noise()
      open.push({ step, startSeconds: now, firstByteSeconds, leftBytes: steps[step]?.bytes ?? 0 })
    }
    const flowing = open.filter(({ firstByteSeconds }) => firstByteSeconds <= now)
    const share = speed / Math.max(1, flowing.length)
    const next = Math.min(
      ...open.map(({ firstByteSeconds, leftBytes }) =>
        firstByteSeconds > now ? firstByteSeconds : now + leftBytes / share,
      ),
    )
    for (const read of flowing) read.leftBytes -= share * (next - now)
    now = next
    for (const { step, startSeconds, firstByteSeconds } of flowing.filter(({ leftBytes }) => leftBytes <= 1e-6)) {
      const bytes = steps[step]?.bytes ?? 0
      done.set(step, { endSeconds: now, seconds: firstByteSeconds - startSeconds + bytes / speed })
    }
    open = open.filter(({ step }) => !done.has(step))
  }
  return done
}
