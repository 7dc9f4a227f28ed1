/** Which routes there are, to tell a path that is none of ours from a method that it does not take. */
import type { FastifyRequest } from 'fastify'
import { MembraneError } from '../core/errors.ts'
import type { HttpApp } from './http-app.ts'
import { type HttpRefusal, methodRefused } from './http-refusal.ts'

interface KnownRoute {
  readonly pattern: RegExp
  readonly methods: Set<string>
}

/** The routes of an app: what to say of a request that has none, and their names, such as `GET /livez`. */
export interface WatchedRoutes {
  readonly refusalOf: (request: FastifyRequest) => HttpRefusal | MembraneError
  readonly names: () => readonly string[]
}

/** Before any route is added. */
export function watchRoutes(app: HttpApp): WatchedRoutes {
  const routes = new Map<string, KnownRoute>()
  app.addHook('onRoute', ({ url, method }) => {
    const known = routes.get(url) ?? { pattern: patternOf(url), methods: new Set() }
    for (const one of [method].flat()) known.methods.add(one)
    routes.set(url, known)
  })
  const names = (): readonly string[] =>
    [...routes].flatMap(([url, { methods }]) => [...methods].map((method) => `${method} ${url}`))
  const refusalOf: WatchedRoutes['refusalOf'] = ({ method, url }) => {
    const path = pathOf(url)
    const methods = [...routes.values()].flatMap((route) => (route.pattern.test(path) ? [...route.methods] : []))
    if (methods.length > 0) return methodRefused(method, path, [...new Set(methods)].toSorted())
    return new MembraneError('NOT_FOUND', `There is no ${path.slice(0, 200)}.`)
  }
  return { refusalOf, names }
}

/** Without the query, which may say what nobody should log. */
export function pathOf(url: string): string {
  return url.split('?', 1)[0] ?? url
}

function patternOf(template: string): RegExp {
  const escaped = template.replaceAll(/[.+^${}()|[\]\\]/g, String.raw`\$&`)
  return new RegExp(`^${escaped.replaceAll('*', '.+').replaceAll(/:[a-zA-Z]+/g, '[^/]+')}$`)
}
