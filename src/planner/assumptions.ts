/**
 * Every value and reading that is not printed in the paper, each with its reason. Answers list the ones they
 * rest on, so that nobody has to guess which part of a number is measured and which is ours.
 */

export const ORIGINS = ['paper', 'measured', 'inferred', 'assumed'] as const
/** Where a value comes from: read in the paper, measured on hardware, worked out from either, or chosen by us or the user. */
export type Origin = (typeof ORIGINS)[number]

/** One thing that an answer rests on. */
export interface Assumption {
  readonly id: string
  readonly origin: Origin
  readonly statement: string
  readonly reason: string
}

const REGISTRY = {
  'representative-length': {
    origin: 'paper',
    statement:
      'Every offloaded request is replaced by one of the mean offloaded length, every local one by one of the mean local length.',
    reason:
      'Section 3.4. It overstates capacity by 0 to 4 % against the mean of the latencies; the SLO-feasible rate uses the latter.',
  },
  'steady-state': {
    origin: 'paper',
    statement: 'Lambda_max and the TTFT beside it contain no queueing.',
    reason: 'Section 3.4 assumes a steady state, and Table 6 is reproduced to 0.5 % by service times alone.',
  },
  'ttft-definition': {
    origin: 'inferred',
    statement:
      'TTFT is T_prefill(L) for local requests and T_prefill(L) + S_kv(L) / B_out for offloaded ones, until the KV is complete where it is decoded.',
    reason: 'The paper gives no formula. This one returns its six published values within 0.5 %.',
  },
  'threshold-unit': {
    origin: 'inferred',
    statement: "Thresholds count tokens: the paper's 19.4K is 19,400.",
    reason: '49.6 % of requests offloaded needs a threshold between 19,364 and 19,410; 19.4 x 1024 gives 48.6 %.',
  },
  'upper-cut': {
    origin: 'inferred',
    statement: 'Input lengths end at 131,072 tokens.',
    reason: 'The paper says 128K; this reading gives 49.6 % offloaded at exactly 19,400.',
  },
  'h200-knots': {
    origin: 'inferred',
    statement: 'The H200 curve has two points beyond Table 5: 48,000 tokens in 2.635 s and 64,000 in 3.495 s.',
    reason:
      "Table 5 alone leaves up to 4.5 % between its curve and Table 6; the authors' finer profile is unpublished. Set from Theta_prfaas and the naive P90 TTFT.",
  },
  'table5-lengths': {
    origin: 'inferred',
    statement: 'The Table 5 rows were measured at 1,024, 8,192, 32,000 and 130,000 tokens.',
    reason:
      'Only these put all four KV sizes on one line, with a slope of exactly 17,280 bytes a token (15 MLA layers x 576 x 2 bytes).',
  },
  'table5-lengths-1000': {
    origin: 'inferred',
    statement:
      'The Table 5 rows are read as 1,000, 8,000, 32,000 and 128,000 tokens, joined by one cubic in (ln tokens, ln seconds), held at 0.44 s below 1,000.',
    reason: 'Of thirty readings of the four printed rows this one misses Table 6 the least (0.6 %).',
  },
  'table5-latencies': {
    origin: 'inferred',
    statement: 'Prefill seconds are 0.4434, 0.7218, 1.8431 and 7.4036.',
    reason: 'The printed rate column pins them better than the two printed decimals.',
  },
  'kv-affine': {
    origin: 'inferred',
    statement: 'S_kv(l) = 173.925 MiB + 17,280 bytes x l for the 1T hybrid model.',
    reason: 'Fits the four sizes of Table 5 to 0.05 MiB: a fixed linear-attention state plus MLA layers.',
  },
  'h20-profile': {
    origin: 'inferred',
    statement:
      'H20 prefill seconds are 0.539, 1.548, 4.901, 9.982 and 21.448 at 1,024, 8,192, 32,000, 64,000 and 130,000 tokens.',
    reason:
      'Unpublished; three points follow from Theta_pd-p (3 and 9 instances) and the homogeneous P90 TTFT, the ends from the mean TTFT.',
  },
  'decode-constants': {
    origin: 'inferred',
    statement: 'BS_max = 20 and T_decode = 24.984 ms.',
    reason:
      'The paper withholds both; only their quotient (800.5 tokens/s) is identifiable from Table 6. 20 is the largest batch that meets 40 tokens/s.',
  },
  'price-ratio': {
    origin: 'inferred',
    statement: 'An H200 costs 2.0 times an H20 per hour (prices in units of an H20 hour).',
    reason: '+54 % throughput and +15 % at equal cost imply it; the paper gives no prices.',
  },
  'equal-cost': {
    origin: 'assumed',
    statement:
      'At equal cost means against as many whole local instances as the hourly cost of both clusters and the egress buys, split and loaded at their best.',
    reason:
      'The paper says "at equal cost" without a method; scaling a smaller cluster in proportion would ignore that larger pools queue less.',
  },
  'homogeneous-size': {
    origin: 'paper',
    statement: 'The homogeneous baseline has as many instances as both clusters together, all of the local kind.',
    reason: 'Section 4.1: 96 H20 against 32 H200 + 64 H20.',
  },
  'egress-dimension': {
    origin: 'inferred',
    statement: 'Egress is Lambda x p x S_kv(l_long).',
    reason:
      "Gives 12.35 Gbps at the optimum. The paper's text says 13, which is 4 x Phi_kv(32K) = 12.8, an instance rate that is not the offloaded mix.",
  },
  'tie-rule': {
    origin: 'assumed',
    statement:
      'Of equal rates the plan with the larger prefill headroom wins, then less egress, then the smaller threshold.',
    reason:
      'Where decode binds, Lambda_max is flat in t; the balance point of Eq. (7) is the robust choice on the plateau.',
  },
  'prefix-hits-scale': {
    origin: 'assumed',
    statement:
      'A prefix hit ratio h shortens every prompt to (1 - h) of its length; attention over the cached part is not charged.',
    reason: 'The paper draws uncached lengths directly; its T_prefill takes the incremental length alone.',
  },
  'prefix-hits-none': {
    origin: 'assumed',
    statement: 'No prefix-cache hit is counted: every prompt is prefilled whole.',
    reason:
      'The lengths given are taken as uncached lengths, as in the case study. Give a prefix hit ratio, or `--prefix-hits ceiling` with a trace that has block ids.',
  },
  'prefix-hits-ceiling': {
    origin: 'assumed',
    statement:
      'Every block seen before in the trace is a hit, wherever it is (an infinite shared cache); a request prefills at least 1 token.',
    reason: 'An upper bound on reuse: a real cache evicts, and each cluster has its own.',
  },
  'queue-waits': {
    origin: 'assumed',
    statement:
      'Each prefill pool is a G/G/c queue: Allen-Cunneen waits, corrected for bursts, with an exponential tail; the link shares its rate among the transfers in flight; a wait for a decode slot is not part of TTFT.',
    reason:
      'Closed form, exact for M/M/c and for gamma arrivals at one server. Against simulation of the case study the feasible rate is within 4 % for Poisson arrivals and 8 % for squared variations up to 50.',
  },
  'burst-splitting': {
    origin: 'assumed',
    statement: 'A share p of an arrival stream with squared variation c is a stream with 1 + p (c - 1).',
    reason: 'Exact for random splitting of a renewal stream; routing by length is random to the arrival times.',
  },
  'no-queue-headroom': {
    origin: 'assumed',
    statement:
      'Without a TTFT bound the plan fills its stages: it serves the load on average, and queues grow without bound near it.',
    reason: 'Lambda_max contains no queueing. Give --slo-ttft-p90, or --headroom for a margin.',
  },
  'tpot-bound': {
    origin: 'assumed',
    statement:
      'A TPOT bound limits the batch to the largest one whose step meets it, so every percentile of TPOT meets it.',
    reason: 'The paper: BS_max and T_decode are constants fixed by the SLO.',
  },
  'table3-prefill': {
    origin: 'inferred',
    statement: 'Prefill seconds are KV bytes of the public architecture divided by the printed KV rate.',
    reason: 'Table 3 prints only the quotient, at 1,024, 8,192, 32,768 and 131,072 tokens on 8 x H200.',
  },
  'table3-deployment': {
    origin: 'assumed',
    statement:
      "Both clusters have the same 8 x H200 instances (4 remote, 8 local), the link has 100 Gbps, traffic is the case study's.",
    reason: 'The paper deploys none of the Table 3 models; this isolates what their KV rate does to a 100 Gbps link.',
  },
  'table3-decode': {
    origin: 'assumed',
    statement: "Decode takes the case study's constants: 20 sequences, 24.984 ms a step.",
    reason: 'No decode profile of these models is published with Table 3. Give `decode` for your own.',
  },
  'llama2-70b-decode': {
    origin: 'measured',
    statement: 'A decode step takes 29.7 ms plus 0.32 ms for each sequence, up to 64 sequences.',
    reason:
      'Straight line through the measured medians: about 30 ms for one sequence and 50.2 ms for 64 at 512 tokens.',
  },
  'llama2-70b-deployment': {
    origin: 'assumed',
    statement:
      'Both clusters have the same 8 x H100 instances (4 remote, 8 local), the link has 100 Gbps, lengths are log-normal around 1,500 tokens and end at 8,192.',
    reason: 'The measurements say nothing of a deployment; the lengths stay inside the measured range.',
  },
  'engine-defaults': {
    origin: 'assumed',
    statement:
      'An observed engine has 128 slots, 2,048 tokens an iteration, one replica, decides an iteration ahead and never lacks KV memory, unless told otherwise.',
    reason:
      "These are vLLM 0.19's defaults, and those of the measured runs; flags change each, and slots are told from the data where it shows them.",
  },
  'replica-choice': {
    origin: 'inferred',
    statement: 'A request goes to the replica with the smallest 4 x waiting + running.',
    reason:
      'The balancer of vLLM scores its engines so; ours knows the numbers at once, where its are up to 100 ms old.',
  },
  'calibration-start': {
    origin: 'assumed',
    statement:
      'A fit starts from a typical TPOT split over the terms of an iteration, a quarter fixed and a quarter for prefill beside it.',
    reason: 'Measured times decide; only terms that they cannot tell apart keep about these proportions.',
  },
  'calibration-weights': {
    origin: 'assumed',
    statement:
      'In a fit the squared error of a TTFT, against the mean TTFT, counts a quarter of those of TPOT and E2E.',
    reason:
      'Just making or just missing an iteration moves one TTFT by the whole iteration, which no coefficient explains.',
  },
  'threshold-control': {
    origin: 'assumed',
    statement:
      'Every second t moves to the planned t times 8^((D_r - D_l) / (D_r + D_l + 6 S)), with the delays D of the two sides and the mean prefill S, and rises by up to half while the link, averaged over 30 s, is more than 85 % used.',
    reason:
      'The paper names the signals (egress utilisation, queue depth) and no number. Simulated on the case study, the gains over a fixed t move by at most 2 points for factors from 4 to 16 and for 3 S to 10 S. Answering to the utilisation of single seconds made a dropped link worse than a fixed t, because a link that is shared fairly is full whenever it is used.',
  },
  'regime-bounds': {
    origin: 'assumed',
    statement:
      'Bandwidth counts as scarce above 70 % use of the link and as abundant below 40 %; in between nothing changes.',
    reason:
      'The paper decides by which of the two binds, without numbers. The gap keeps the regime from fluttering; it only matters where prefixes may be copied across.',
  },
  'reallocation-rules': {
    origin: 'assumed',
    statement:
      'Roles change when the plan for the observed load lowers P90 TTFT by 15 %, or when headroom falls below 10 %, and not again within five drain times.',
    reason:
      'The paper gives no period, hysteresis or step. A smaller gain changes roles for noise, and each change takes an instance out for as long as its last sequence.',
  },
  'scheduler-clock': {
    origin: 'assumed',
    statement:
      'Queues and link are looked at every second, roles and planned t every 300 s and when the link or the instances change.',
    reason:
      'Simulated on the case study: looking every 5 s instead of every second halves the gain in steady traffic, every 0.2 s adds nothing beyond noise; planning every 60 or 900 s moves the gains by up to 13 points, in either direction.',
  },
  'load-measurement': {
    origin: 'assumed',
    statement:
      'The scheduler plans with the lengths of the last 4,096 requests (of at least 64), the dispersion of up to sixty one-minute counts (of at least ten), and anew when the bandwidth differs by more than 20 % from the planned one.',
    reason:
      'A sample of 4,096 places the best threshold within about 3 %. Fewer counts would plan for chance; more would remember the day before.',
  },
  'loss-detection': {
    origin: 'assumed',
    statement:
      'That a cluster is gone is noticed after 5 s; until then requests are still sent to its queue, and then they are routed anew.',
    reason: 'A few missed heartbeats. Requests of these seconds wait that long; others see nothing of it.',
  },
  'role-change': {
    origin: 'assumed',
    statement: 'An instance that is empty serves in its other role after 30 s.',
    reason:
      'Weights stay; the engine restarts with other limits. Before that it finishes what it has, which takes about as long.',
  },
  'queue-bound': {
    origin: 'assumed',
    statement: 'A run says since when there were ten times as many requests in the system as it can serve at once.',
    reason:
      'At 98 % of what it sustains the case study has a third of that at most; at a tenth more than it sustains it passes it within the hour.',
  },
  'report-load': {
    origin: 'assumed',
    statement:
      'A report simulates its plan at 86 % of Lambda_max, and at 75 % of what it sustains while the link falls to a tenth for half of the time or the rate doubles for two minutes in fifteen.',
    reason:
      'High enough for queues to show and low enough to be kept up with; during a burst a third more comes than the plan sustains.',
  },
  'decode-headroom': {
    origin: 'assumed',
    statement: 'Roles are planned so that at most 92 % of the decode rate is used.',
    reason: 'A wait for a slot is no part of TTFT, so nothing else would keep a plan from running out of slots.',
  },
  'client-superposition': {
    origin: 'assumed',
    statement:
      "Clients' rates are summed to one curve with gamma gaps, whose squared variation is the rate-weighted mean of the clients'.",
    reason:
      'The sum of independent renewal streams has this dispersion in the long run; over seconds it is closer to Poisson.',
  },
  'layerwise-transfer': {
    origin: 'assumed',
    statement:
      'With layer-wise transfer all layers but the last share the link from the start of the prefill; the last one follows when both have ended.',
    reason:
      'The KV of a layer is there before the next is computed. The link may carry bytes a little before they are produced; the end is never earlier than the prefill.',
  },
  'blind-routing': {
    origin: 'assumed',
    statement:
      'Scheduler off means that each request goes to either cluster by chance, in proportion to their prefill capacity.',
    reason:
      'What a load balancer does that does not look at lengths; everything remote would be the naive baseline of Table 6.',
  },
  'lost-work': {
    origin: 'assumed',
    statement:
      'An instance that is lost takes its prefill or its sequences with it; they are routed anew, a sequence with what it had generated as part of its prompt. A lost cluster breaks its transfers too.',
    reason: 'KV of a finished prefill is in the pool of its cluster and survives the instance, not the cluster.',
  },
} as const satisfies Readonly<Record<string, Omit<Assumption, 'id'>>>

/** Id of a registered assumption. */
export type AssumptionId = keyof typeof REGISTRY

/** The entry of an id. */
export function assumption(id: AssumptionId): Assumption {
  return { id, ...REGISTRY[id] }
}

/** Every registered id. */
export const ASSUMPTION_IDS: readonly AssumptionId[] = Object.keys(REGISTRY) as AssumptionId[]
