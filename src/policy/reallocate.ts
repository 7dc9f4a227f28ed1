/** A way to run, as the planner predicts it for the load that was observed. */
export interface Prediction {
  /** Null when some stage could not keep up. */
  readonly ttftSecondsP90: number | null
  /** The rate that it could carry, over the one that was observed. */
  readonly headroom: number
}

export interface ReallocationQuestion {
  /** With today's roles and the best threshold for them. */
  readonly current: Prediction
  /** With the best roles and threshold. */
  readonly proposed: Prediction
  readonly isSameRoles: boolean
  readonly secondsSinceRolesChanged: number
  /** How long instances that change serve neither role: finishing what they have, then changing. */
  readonly drainSeconds: number
}

export interface ReallocationRules {
  /** Roles change when P90 TTFT falls by at least this share. */
  readonly gainMin: number
  /** Below this headroom the gain need not be proven: queues are about to grow. */
  readonly headroomMin: number
  /** Between two changes of roles pass at least this many drain times. */
  readonly drainsBetween: number
}

/** ASSUMPTION: reallocation-rules. */
export const DEFAULT_REALLOCATION_RULES: ReallocationRules = { gainMin: 0.15, headroomMin: 1.1, drainsBetween: 5 }

/** What to take over of a new plan (section 3.4.3, long term): its roles and threshold, or the threshold for the present roles. */
export function decideReallocation(question: ReallocationQuestion, rules: ReallocationRules): 'roles' | 'threshold' {
  const { current, proposed, isSameRoles, secondsSinceRolesChanged, drainSeconds } = question
  if (isSameRoles || secondsSinceRolesChanged < rules.drainsBetween * drainSeconds) return 'threshold'
  if (proposed.ttftSecondsP90 === null)
    return proposed.headroom > current.headroom * (1 + rules.gainMin) ? 'roles' : 'threshold'
  if (current.ttftSecondsP90 === null || current.headroom < rules.headroomMin) return 'roles'
  return proposed.ttftSecondsP90 <= current.ttftSecondsP90 * (1 - rules.gainMin) ? 'roles' : 'threshold'
}
