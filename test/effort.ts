/** How many cases properties try: few in every run of the tests, many when MEMBRANE_SOAK=1 asks for them. */

const isSoak = process.env['MEMBRANE_SOAK'] === '1'

/** `short` cases as a rule; `long` in a soak, `short` times 30 unless given. */
export function runs(short: number, long: number = 30 * short): number {
  return isSoak ? long : short
}
