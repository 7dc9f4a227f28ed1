import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { variablesOf } from '../../src/api/server-names.ts'
import { SERVER_CONFIG_KEYS } from '../../src/api/server-schema.ts'

const read = (path: string): string => readFileSync(`deploy/helm/membrane/${path}`, 'utf8')
const values: Record<string, unknown> = parse(read('values.yaml'))
/** The templates only insert values, which is all of the language that this knows. */
function render(path: string) {
  const text = read(path).replaceAll(/\{\{ \.(Release|Values)\.(\w+) \}\}/g, (_, kind: string, name: string) => {
    if (kind === 'Values') expect(values).toHaveProperty(name)
    return kind === 'Values' ? String(values[name]) : 'release'
  })
  return parseAllDocuments(text).map((document) => {
    expect(document.errors).toEqual([])
    return document.toJS()
  })
}

it('the chart renders objects whose selectors, ports and variables fit each other', () => {
  const [set] = render('templates/statefulset.yaml')
  const others = render('templates/services.yaml')
  const { labels } = set.spec.template.metadata
  expect(set.spec.selector.matchLabels).toEqual(labels)
  for (const { apiVersion, kind, metadata, spec } of others) {
    expect([apiVersion, kind, metadata.name].every((text) => typeof text === 'string')).toBe(true)
    expect(spec.selector.matchLabels ?? spec.selector).toEqual(labels)
    for (const port of spec.ports ?? []) expect(port.targetPort).toBe('http')
  }
  expect(others.map(({ metadata }) => metadata.name)).toContain(set.spec.serviceName)
  const [container] = set.spec.template.spec.containers
  expect(container.ports[0].name).toBe(container.readinessProbe.httpGet.port)
  const known = SERVER_CONFIG_KEYS.flatMap(variablesOf)
  for (const { name } of container.env) expect(known).toContain(name)
})

it('the schema names the values that there are', () => {
  const { properties } = JSON.parse(read('values.schema.json'))
  expect(Object.keys(properties).toSorted()).toEqual(Object.keys(values).toSorted())
})
