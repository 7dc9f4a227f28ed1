/** What every page must pass in a browser. */
import type { Page } from 'playwright-core'

/** Opens a page and says what went wrong and what was asked for while it was open. */
export async function openPage(
  page: Page,
  url: string,
): Promise<{ readonly problems: readonly string[]; readonly requests: readonly string[] }> {
  const [problems, requests]: [string[], string[]] = [[], []]
  page.on('console', (message) => problems.push(message.text()))
  page.on('pageerror', (error) => problems.push(error.message))
  page.on('request', (request) => requests.push(request.url()))
  await page.goto(url)
  return { problems, requests }
}

/** Text of a chart that leaves its picture, where it would be cut off. */
export async function textOutsideCharts(page: Page): Promise<readonly string[]> {
  return page.evaluate<string[]>(`[...document.querySelectorAll('svg[role=img]')]
    .filter((chart) => chart.getBoundingClientRect().width > 0)
    .flatMap((chart) => {
      const frame = chart.getBoundingClientRect()
      return [...chart.querySelectorAll('text')]
        .filter((text) => {
          const box = text.getBoundingClientRect()
          return box.width > 0 && (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
        })
        .map((text) => text.textContent)
    })`)
}
