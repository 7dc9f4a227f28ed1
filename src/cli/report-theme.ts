/** Light and dark: follows the system until the reader chooses. */

interface Theme {
  readonly page: string
  readonly card: string
  readonly sunken: string
  readonly ink: string
  readonly soft: string
  readonly edge: string
  readonly grid: string
  readonly axis: string
  readonly link: string
  readonly gain: string
  readonly loss: string
  readonly equal: string
  /** Series of the charts: told apart by people with any kind of colour vision (Okabe and Ito), at 3:1 on the card at least. */
  readonly first: string
  readonly second: string
  readonly third: string
}

const LIGHT: Theme = {
  page: '#f6f7f9',
  card: '#ffffff',
  sunken: '#eef1f5',
  ink: '#16202c',
  soft: '#51606f',
  edge: '#d8dee6',
  grid: '#e6eaef',
  axis: '#8794a2',
  link: '#0a5cad',
  gain: '#00734d',
  loss: '#b8321f',
  equal: '#5d5a1f',
  first: '#0067b0',
  second: '#c25400',
  third: '#a03c86',
}

const DARK: Theme = {
  page: '#0e141b',
  card: '#161e27',
  sunken: '#1f2933',
  ink: '#e8edf2',
  soft: '#a3b1bf',
  edge: '#2c3844',
  grid: '#26313c',
  axis: '#7a8896',
  link: '#7cbcf5',
  gain: '#45c795',
  loss: '#ff8a73',
  equal: '#d6cf72',
  first: '#58b2f0',
  second: '#f2a048',
  third: '#e08fc8',
}

function variables(theme: Theme): string {
  return Object.entries(theme)
    .map(([name, color]) => `--${name}:${color}`)
    .join(';')
}

export const THEME_STYLE = `
:root{color-scheme:light;${variables(LIGHT)}}
@media (prefers-color-scheme:dark){:root:not([data-theme=light]){color-scheme:dark;${variables(DARK)}}}
:root[data-theme=dark]{color-scheme:dark;${variables(DARK)}}
@media print{:root,:root:not([data-theme=light]),:root[data-theme]{color-scheme:light;${variables(LIGHT)}}}
`

export const REPORT_SCRIPT = `
const root = document.documentElement
const button = document.getElementById('theme')
const system = matchMedia('(prefers-color-scheme: dark)')
const isDark = () => (root.dataset.theme ?? (system.matches ? 'dark' : 'light')) === 'dark'
const name = () => { button.textContent = isDark() ? 'Light theme' : 'Dark theme' }
button.addEventListener('click', () => { root.dataset.theme = isDark() ? 'light' : 'dark'; name() })
system.addEventListener('change', name)
button.hidden = false
name()
`
