/** How the threads of one call share its work. Which thread did what does not show in any number. */

/** Places in the sync area, on cache lines of their own: the next unit, those who arrived, and the phase. */
const NEXT: i32 = 0
const ARRIVED: i32 = 64
const PHASE: i32 = 128

/** So often a thread looks whether the others are done before it sleeps: some 10 microseconds. */
const SPINS: i32 = 4000

let sync: usize = 0
let threads: i32 = 1

export function join(syncArea: usize, threadCount: i32): void {
  sync = syncArea
  threads = threadCount
}

/** The next unit of work that nobody has taken; units of a phase count from 0. */
export function takeUnit(): i32 {
  if (threads == 1) {
    const unit = load<i32>(sync + NEXT)
    store<i32>(sync + NEXT, unit + 1)
    return unit
  }
  return atomic.add<i32>(sync + NEXT, 1)
}

/** Waits until all threads have finished the phase. */
export function endPhase(): void {
  if (threads == 1) {
    store<i32>(sync + NEXT, 0)
    return
  }
  const phase = atomic.load<i32>(sync + PHASE)
  if (atomic.add<i32>(sync + ARRIVED, 1) == threads - 1) {
    atomic.store<i32>(sync + ARRIVED, 0)
    atomic.store<i32>(sync + NEXT, 0)
    atomic.store<i32>(sync + PHASE, phase + 1)
    atomic.notify(sync + PHASE, -1)
    return
  }
  for (let spin = 0; spin < SPINS; spin++) {
    if (atomic.load<i32>(sync + PHASE) != phase) return
  }
  while (atomic.load<i32>(sync + PHASE) == phase) atomic.wait<i32>(sync + PHASE, phase, -1)
}
