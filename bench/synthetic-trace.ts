/**
 * A trace with the shape of Mooncake's conversation trace, made from a seed: as many requests and block references,
 * conversations that come back with a longer prompt, and one block that nearly all share (a system prompt).
 */
import { type Random, seededRandom } from '../src/core/random.ts'

export const REQUESTS = 12_031
export const BLOCK_REFERENCES = 288_500
const BLOCK_TOKENS = 512
const SEED = 12_031
/** Mean time between requests; Mooncake's hour has 3.4 requests a second. */
const MEAN_GAP_MS = 300
const CONTINUES = 0.4

/** JSON Lines in Mooncake's format. */
export function syntheticTrace(): string {
  const random = seededRandom(SEED)
  const prompts = promptsOf(blockCounts(random), random)
  let timestamp = 0
  const lines = prompts.map((hash_ids) => {
    timestamp += Math.round(-Math.log(1 - random()) * 2 * MEAN_GAP_MS * random())
    const input_length = hash_ids.length * BLOCK_TOKENS - Math.floor(random() * BLOCK_TOKENS)
    const output_length = 1 + Math.floor(-Math.log(1 - random()) * 340)
    return JSON.stringify({ timestamp, input_length, output_length, hash_ids })
  })
  return `${lines.join('\n')}\n`
}

/** Blocks of each prompt: a skewed draw, scaled and rounded so that the sum is exact. */
function blockCounts(random: Random): number[] {
  const draws = Array.from({ length: REQUESTS }, () => Math.exp(1.2 * normalDraw(random)))
  const scale = (BLOCK_REFERENCES - REQUESTS) / draws.reduce((sum, draw) => sum + draw, 0)
  let carried = 0
  return draws.map((draw) => {
    // What rounding leaves is handed on, so the sum misses by nothing.
    const exact = draw * scale + carried
    const whole = Math.round(exact)
    carried = exact - whole
    return 1 + whole
  })
}

function normalDraw(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
}

/** Each prompt begins with the common block; some begin with a whole earlier prompt that is shorter. */
function promptsOf(counts: readonly number[], random: Random): number[][] {
  const prompts: number[][] = []
  let nextId = 1
  for (const count of counts) {
    const earlier = random() < CONTINUES ? prompts[Math.floor(random() * prompts.length)] : undefined
    const start = earlier !== undefined && earlier.length < count ? earlier : [0]
    prompts.push([...start, ...Array.from({ length: count - start.length }, () => nextId++)])
  }
  return prompts
}
