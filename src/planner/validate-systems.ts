import { erlangC, metLoad } from './queueing.ts'
import { unlimitedDecode } from './validate-decode.ts'
import {
  burstyArrivals,
  finiteRoom,
  heavyTraffic,
  loss,
  manyServers,
  pollaczekKhinchine,
  singleServer,
  unlimited,
} from './validate-pools.ts'
import { streams } from './validate-run.ts'
import { CONSTANT, ERLANG_4, EXPONENTIAL, HYPEREXPONENTIAL, LOG_NORMAL, type Service } from './validate-services.ts'
import { type LinkBatches, runLink, runTandem, type TandemBatches } from './validate-stations.ts'
import { LOADS, queueCosts, type System, system } from './validate-system.ts'

function sharedLink(service: Service): System {
  const [smallBytes, largeBytes] = [0.5, 2]
  const name = `M/${service.name}/1, processor sharing`
  return system({
    name,
    loads: LOADS,
    costs: queueCosts(service.secondMoment, () => 1),
    rows: (load) => [
      { quantity: 'mean transfer (s)', theory: 1 / (1 - load), read: (said: LinkBatches) => said.sojournSeconds },
      { quantity: 'mean number of transfers', theory: load / (1 - load), read: (said: LinkBatches) => said.flows },
      ...(service === CONSTANT
        ? []
        : [
            {
              quantity: 'stretch of small transfers',
              theory: 1 / (1 - load),
              read: (said: LinkBatches) => said.stretchOfSmall,
            },
            {
              quantity: 'stretch of large transfers',
              theory: 1 / (1 - load),
              read: (said: LinkBatches) => said.stretchOfLarge,
            },
          ]),
    ],
    run: ({ load, seed, length }) =>
      runLink({
        ...streams(`${name} at ${load}, seed ${seed}`, { rateRps: load, burstiness: 1 }),
        service,
        length,
        smallBytes,
        largeBytes,
      }),
  })
}

const tandem = system({
  name: 'M/M/1 -> M/M/1',
  loads: LOADS,
  costs: queueCosts(2, (load) => load),
  rows: (load) => [
    {
      quantity: 'mean wait at the first (s)',
      theory: load / (1 - load),
      read: (said: TandemBatches) => said.firstWaitSeconds,
    },
    {
      quantity: 'mean wait at the second (s), by Burke',
      theory: load / (1 - load),
      read: (said: TandemBatches) => said.secondWaitSeconds,
    },
  ],
  run: ({ load, seed, length }) =>
    runTandem({
      ...streams(`tandem at ${load}, seed ${seed}`, { rateRps: load, burstiness: 1 }),
      service: EXPONENTIAL,
      length,
    }),
})

export const SYSTEMS: readonly System[] = [
  singleServer,
  ...[2, 4].map(manyServers),
  ...[CONSTANT, ERLANG_4, LOG_NORMAL, HYPEREXPONENTIAL].map(pollaczekKhinchine),
  ...[0.5, 2].map(burstyArrivals),
  tandem,
  ...[CONSTANT, EXPONENTIAL, HYPEREXPONENTIAL].map(sharedLink),
  ...[EXPONENTIAL, HYPEREXPONENTIAL].map(loss),
  unlimited(HYPEREXPONENTIAL),
  unlimitedDecode,
  finiteRoom,
  heavyTraffic({ name: 'M/D/1', service: CONSTANT }, (load) => load / 2),
  heavyTraffic({ name: 'GI/M/1', burstiness: 0.5 }, (load) => {
    const sigma = metLoad(load, 0.5)
    return ((1 - load) * sigma) / (1 - sigma)
  }),
  heavyTraffic({ name: 'M/M/2', servers: 2 }, (load) => erlangC(2, 2 * load) / 2),
]
