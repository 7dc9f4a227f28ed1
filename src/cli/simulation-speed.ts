import { setFlagsFromString } from 'node:v8'

/**
 * Lets the compiler put the simulator's small functions into the event loop that calls them: the usual bound on what
 * may be put into one function is reached by half of them, and numbers that cross the other calls are boxed. Measured on
 * the case study: 15 % faster. It must be said before the loop is compiled, and changes nothing but speed.
 */
export function tuneForSimulation(): void {
  setFlagsFromString('--max-inlined-bytecode-size-cumulative=4000')
}
