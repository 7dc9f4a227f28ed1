/**
 * Orders a prompt for services that reuse prefixes, and says up to where which prefix lasts. Pure.
 *
 * The rule: segments without text are left out. A run is a longest stretch of segments of one role. Within a run of
 * `system` or `user`, segments that last longer come first (`always`, `session`, `once`), those that last equally long
 * keep their order. Runs keep their order, because turns of a conversation do; a run of `assistant` keeps its own,
 * because it is one text that was said. So of two prompts of the same runs, which hold the same `always` and `session`
 * segments and none of their texts as `once`, the leading segments that they share never become fewer characters. A
 * segment that is sent again keeps its place only if it is said to last as long as before.
 */
import type { PromptSegment } from '../core/compute.ts'

const RANKS: Readonly<Record<PromptSegment['lasts'], number>> = { always: 0, session: 1, once: 2 }

/** Segments of one role, in the order in which they are sent. At least one, each with text. */
export interface PromptRun {
  readonly role: PromptSegment['role']
  readonly segments: readonly PromptSegment[]
}

export function orderPrompt(segments: readonly PromptSegment[]): readonly PromptRun[] {
  const runs: { readonly role: PromptSegment['role']; readonly segments: PromptSegment[] }[] = []
  for (const segment of segments) {
    if (segment.text === '') continue
    const last = runs.at(-1)
    if (last?.role === segment.role) last.segments.push(segment)
    else runs.push({ role: segment.role, segments: [segment] })
  }
  // Sorting keeps the order of equals.
  return runs.map(({ role, segments }) => ({
    role,
    segments: role === 'assistant' ? segments : segments.toSorted((a, b) => RANKS[a.lasts] - RANKS[b.lasts]),
  }))
}

/** The text of a run: its segments, with nothing between them. */
export function runText(run: PromptRun): string {
  return run.segments.map(({ text }) => text).join('')
}

/** A stretch of a run that lasts as long as all that comes before it lets it. */
export interface PromptBlock {
  readonly role: PromptSegment['role']
  readonly text: string
  /** How long the prefix that ends here stays the same: not longer than anything in it. */
  readonly prefixLasts: PromptSegment['lasts']
}

/** One list of blocks for each run. */
export function promptBlocks(runs: readonly PromptRun[]): readonly (readonly PromptBlock[])[] {
  let prefixLasts: PromptSegment['lasts'] = 'always'
  return runs.map(({ role, segments }) => {
    const blocks: PromptBlock[] = []
    for (const { text, lasts } of segments) {
      if (RANKS[lasts] > RANKS[prefixLasts]) prefixLasts = lasts
      const last = blocks.at(-1)
      if (last?.prefixLasts === prefixLasts) blocks[blocks.length - 1] = { ...last, text: last.text + text }
      else blocks.push({ role, text, prefixLasts })
    }
    return blocks
  })
}

export interface BreakpointOptions {
  /** Breakpoints of one prompt. */
  readonly breakpointsMax: number
  /** The service looks back from a breakpoint for what it has, over so many blocks. */
  readonly lookBackBlocks: number
  /** A breakpoint covers at least so many characters more than the one before it. */
  readonly charactersMin: number
}

/** A block after which the prefix is worth keeping, and how long it lasts. */
export interface Breakpoint {
  /** Counted over all runs. */
  readonly block: number
  readonly lasts: 'always' | 'session'
}

/**
 * Where prefixes end that will be asked for again: the one that lasts always, and the one that lasts for the session;
 * in a long session's prefix also some before its end, as far apart as the service looks back, so that a turn that adds
 * many blocks still finds what the turn before left. In order; those that last always come first.
 */
export function placeBreakpoints(blocks: readonly PromptBlock[], options: BreakpointOptions): readonly Breakpoint[] {
  const always = blocks.findLastIndex(({ prefixLasts }) => prefixLasts === 'always')
  const session = blocks.findLastIndex(({ prefixLasts }) => prefixLasts === 'session')
  const wanted: Breakpoint[] = always < 0 ? [] : [{ block: always, lasts: 'always' }]
  if (session >= 0) {
    const room = options.breakpointsMax - wanted.length
    const ends = Array.from({ length: room }, (_, index) => session - index * options.lookBackBlocks)
    for (const block of ends.filter((end) => end > always).reverse()) wanted.push({ block, lasts: 'session' })
  }
  const placed: Breakpoint[] = []
  for (const breakpoint of wanted) {
    const since = (placed.at(-1)?.block ?? -1) + 1
    const characters = blocks.slice(since, breakpoint.block + 1).reduce((sum, { text }) => sum + text.length, 0)
    if (characters >= options.charactersMin) placed.push(breakpoint)
  }
  return placed
}
