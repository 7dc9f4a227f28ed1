import { THEME_STYLE } from './report-theme.ts'

/** One style sheet for screen, phone and paper. Phones are those narrower than 36rem. */
export const REPORT_STYLE = `${THEME_STYLE}
*{box-sizing:border-box}
html{scroll-padding-top:1rem;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
header,main,footer{max-width:74rem;margin:0 auto;padding:0 1.5rem}
header{display:flex;justify-content:space-between;align-items:center;gap:1rem;padding-top:1rem;padding-bottom:.75rem;min-height:4.25rem}
a{color:var(--link)}
:focus-visible{outline:3px solid var(--link);outline-offset:2px;border-radius:3px}
.skip{position:absolute;left:-100vw;top:0;padding:.5rem 1rem;background:var(--card);z-index:1}
.skip:focus{left:0}
.brand{margin:0;font-weight:700;letter-spacing:-.01em}
.brand span{font-weight:400;color:var(--soft)}
button{font:inherit;font-size:.875rem;color:var(--ink);background:var(--card);border:1px solid var(--edge);border-radius:999px;padding:.3rem .9rem;cursor:pointer}
button:hover{border-color:var(--axis)}
h1,h2,h3{line-height:1.2;letter-spacing:-.015em;text-wrap:balance}
h2{font-size:1.35rem;margin:0 0 1rem}
h3{font-size:1rem;margin:0 0 .6rem}
main>section{margin:0 0 1.5rem;padding:1.5rem 1.75rem;background:var(--card);border:1px solid var(--edge);border-radius:12px}
.verdict{--tone:var(--equal);border-top:5px solid var(--tone)!important}
.verdict.pays{--tone:var(--gain)}
.verdict.loses{--tone:var(--loss)}
.scenario{margin:0;color:var(--soft);font-size:.9375rem;overflow-wrap:anywhere}
.scenario strong{color:var(--ink)}
h1{font-size:clamp(1.6rem,1.1rem + 2.2vw,2.5rem);margin:.35rem 0 .6rem;color:var(--tone)}
.sign{display:inline-block;min-width:1.15em}
.lead{margin:0 0 1.5rem;font-size:1.0625rem;max-width:62rem}
dl,dd{margin:0}
.tiles{--gap:.75rem;display:flex;flex-wrap:wrap;gap:var(--gap)}
.tiles div{flex:1 1 max(9rem,(100% + var(--gap))/var(--columns) - var(--gap) - 1px);background:var(--sunken);border-radius:8px;padding:.75rem .9rem}
.tiles dt{font-size:.8125rem;color:var(--soft)}
.tiles dd{font-size:.875rem}
.tiles strong{font-size:1.5rem;font-weight:650;letter-spacing:-.02em;font-variant-numeric:tabular-nums;white-space:nowrap}
.tiles .note{font-size:.8125rem;color:var(--soft);line-height:1.35;margin-top:.15rem}
.symbol{white-space:nowrap}
sub{font-size:.72em;line-height:0}
nav{margin:0 0 1.5rem}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;margin:0;padding:0;font-size:.9375rem}
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;width:100%;font-size:.9375rem}
caption{text-align:left;color:var(--soft);padding:0 0 .75rem;line-height:1.45}
th,td{text-align:left;vertical-align:top;padding:.45rem .9rem .45rem 0;border-bottom:1px solid var(--edge)}
th:last-child,td:last-child{padding-right:0}
thead th{font-size:.8125rem;font-weight:600;color:var(--soft);border-bottom:2px solid var(--edge);vertical-align:bottom}
tbody th{font-weight:400}
tbody tr:last-child>*{border-bottom:0}
.number{text-align:right;font-variant-numeric:tabular-nums}
.change,.absent{color:var(--soft)}
.change{white-space:nowrap}
#deployments thead th{font-size:.875rem;color:var(--ink)}
#deployments th:nth-child(2),#deployments td:nth-child(2){background:var(--sunken);padding-left:.9rem}
#deployments th,#deployments td{padding-right:.9rem}
.pair{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:2.25rem 2.5rem}
.pair>div{min-width:0}
.number+:not(.number){padding-left:1.25rem}
#cost .number,#alternatives tbody th{white-space:nowrap}
figure{margin:0;min-width:0}
.chart{display:block;width:100%;height:auto;max-width:44rem}
.chart text{font-family:inherit;font-variant-numeric:tabular-nums}
.chart.narrow{display:none}
figcaption{margin:.6rem 0 0;font-size:.875rem;color:var(--soft);line-height:1.5}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.15rem 1.1rem;margin:0 0 .4rem;padding:0;font-size:.8125rem}
.legend li{display:flex;align-items:center;gap:.5rem}
.legend svg{fill:none;flex:none}
details{margin-top:.6rem;font-size:.875rem}
summary{cursor:pointer;color:var(--link)}
details .scroll{margin-top:.6rem;max-height:24rem;overflow:auto}
details table{font-size:.8125rem}
.question{display:grid;grid-template-columns:repeat(auto-fit,minmax(19rem,1fr));gap:.9rem 2rem}
.question dt{font-size:.8125rem;color:var(--soft)}
.question dd{overflow-wrap:anywhere}
.warnings{margin:0;padding-left:1.2rem}
.warnings li{margin-bottom:.4rem;overflow-wrap:anywhere}
.badge{display:inline-block;white-space:nowrap;font-size:.75rem;font-weight:600;line-height:1.5;padding:0 .6em;border-radius:999px;border:1px solid currentColor}
.badge.paper{color:var(--first)}
.badge.measured{color:var(--gain)}
.badge.inferred{color:var(--third)}
.badge.assumed{color:var(--second);border-style:dashed}
.stacked{min-width:44rem}
.stacked td{overflow-wrap:anywhere}
code{font:.875em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;overflow-wrap:anywhere}
tbody th code{overflow-wrap:normal}
pre{margin:.5rem 0 0;padding:.9rem 1rem;background:var(--sunken);border-radius:8px;white-space:pre-wrap;user-select:all}
footer{color:var(--soft);font-size:.8125rem;padding-bottom:2rem}
@media (max-width:62rem){.pair{grid-template-columns:minmax(0,1fr)}}
@media (max-width:36rem){
header,main,footer{padding-left:.75rem;padding-right:.75rem}
main>section{padding:1.1rem 1rem}
.tiles{--gap:.5rem}
.tiles div{flex-basis:8rem;padding:.6rem .7rem}
.tiles strong{font-size:1.25rem}
.question{grid-template-columns:1fr}
.chart.wide{display:none}
.chart.narrow{display:block}
table{font-size:.875rem}
th,td,#deployments th,#deployments td{padding-right:.6rem}
#deployments th,#deployments td{padding-right:.4rem}
#deployments table,#deployments thead th{font-size:.75rem}
#alternatives table{font-size:.75rem}
caption span{display:inline-block;max-width:calc(100vw - 3.6rem)}
#deployments th:nth-child(2),#deployments td:nth-child(2){padding-left:.4rem;padding-right:.4rem}
.stacked{min-width:0}
.stacked,.stacked caption,.stacked tbody,.stacked tr,.stacked tbody th,.stacked td{display:block}
.stacked thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.stacked tr{padding:.8rem 0;border-bottom:1px solid var(--edge)}
.stacked tbody tr>*{border:0;padding:.1rem 0}
.stacked td:last-child{color:var(--soft)}
}
@media print{
body{background:#fff;font-size:10pt}
header,main,footer{max-width:none;padding:0}
button,nav,.skip,summary{display:none}
main>section{padding:.75rem 0;border:0;border-radius:0;margin:0}
figure,tr,.tiles div{break-inside:avoid}
h2,h3{break-after:avoid}
.scroll{overflow:visible}
.pair{grid-template-columns:repeat(2,minmax(0,1fr))}
.chart.wide{display:block}
.chart.narrow{display:none}
}
`
