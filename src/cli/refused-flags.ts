import { MembraneError } from '../core/errors.ts'

/** A flag that would be ignored is refused: whoever gave it expects something of it. */

/** Refuses the first of these flags that was given. `why` goes on after its name: "needs --transfer layerwise". */
export function refuseGiven<Flags extends object>(
  flags: Flags,
  names: readonly (keyof Flags & string)[],
  why: string,
): void {
  const given = names.find((name) => flags[name] !== undefined && flags[name] !== false)
  if (given === undefined) return
  throw new MembraneError('INVALID_REQUEST', `${flagOf(given)} ${why}.`, {
    remedy: 'Leave it out; it would change nothing.',
    details: { flag: flagOf(given) },
  })
}

/** The name that commander makes of a flag, back: `rttMs` is `--rtt-ms`. */
function flagOf(name: string): string {
  return `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}
