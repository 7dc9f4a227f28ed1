import { type SeriesStyle, STYLES } from './report-layers.ts'

/** How runs look: a colour, a dash and a marker each, the same in all figures. */

const LOOKS: readonly SeriesStyle[] = [
  { ...STYLES.first, dash: [], width: 2.25 },
  { ...STYLES.second, dash: [6, 3], width: 2 },
  { ...STYLES.third, dash: [2, 2], width: 2.25 },
  { ...STYLES.result, dash: [9, 3, 2, 3], width: 1.75 },
]

/** All alike would hide each other; this is drawn where runs do not differ. */
export const SAME_STYLE: SeriesStyle = { ...STYLES.result, width: 1.5 }

/** What is given and not an outcome. */
export const GIVEN_STYLE: SeriesStyle = { color: 'var(--axis)', dash: [], width: 2, marker: 'circle' }

/** The first four differ in everything, and no two of the first sixteen are alike. */
export function runStyle(place: number): SeriesStyle {
  const look = LOOKS[place % LOOKS.length] ?? STYLES.result
  const dashOf = LOOKS[(place + Math.floor(place / LOOKS.length)) % LOOKS.length] ?? look
  return { ...look, dash: dashOf.dash }
}

/** What the pages of plans do not have: panels beside each other. */
export const SIMULATION_STYLE = `
.verdict.stable{--tone:var(--gain)}
.verdict.backlogged{--tone:var(--equal)}
.verdict.overloaded{--tone:var(--loss)}
.verdict h1{margin-top:0}
h1,h2,h3{overflow-wrap:anywhere}
.tiles dd:not(.note){white-space:nowrap}
.verdict .lead{margin-bottom:.6rem}
.verdict .of{margin:1rem 0 .6rem;color:var(--soft);font-size:.9375rem}
.panels{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:1rem 2.5rem}
.panels.small{grid-template-columns:repeat(auto-fit,minmax(min(18rem,100%),1fr));gap:1rem 1.5rem}
.panels .name{margin:0;font-size:.875rem}
.panels .name span{color:var(--soft)}
.panels+figcaption{margin-top:1rem}
section>.scroll+.scroll,section>.scroll+figure{margin-top:1.75rem}
figcaption{max-width:62rem}
table:has(thead th:nth-child(2):last-child){width:auto;min-width:min(100%,40rem)}
@media (min-width:62.01rem){
#figure-knee{display:grid;grid-template-columns:minmax(0,44rem) minmax(0,1fr);column-gap:2.5rem}
#figure-knee>:not(.chart,figcaption){grid-column:1/-1}
#figure-knee figcaption{align-self:center}
}
@media (max-width:62rem){.panels{grid-template-columns:minmax(0,1fr)}}
@media (max-width:36rem){#latencies table,#load table,#setup table{font-size:.75rem}}
@media print{.panels{grid-template-columns:repeat(2,minmax(0,1fr))}.panels>div{break-inside:avoid}}
`
