import { setFlagsFromString } from 'node:v8'

/**
 * Lets the compiler put the simulator's small functions into the event loop that calls them: the usual bound on what
 * may be put into one function is reached by half of them, and numbers that cross the other calls are boxed. Measured on
 * the case study: a fifth faster. It must be said before the loop is compiled, and changes nothing but speed.
 */
export function tuneForSimulation(): void {
  setFlagsFromString('--max-inlined-bytecode-size-cumulative=4000')
  // The warm-up of a run records nothing, so the compiler takes recording for rare, and never inlines it.
  setFlagsFromString('--min-inlining-frequency=0.01')
}
