// Turns the Engine API description (Swagger 2.0, prose removed) into TypeScript types.
// Usage: node scripts/generate-schema.mjs [--check]
import fs from 'node:fs'

const source = 'core/schema/engine-api-v1.51.json'
const target = 'core/schema/engine-api.ts'
const api = JSON.parse(fs.readFileSync(source, 'utf8'))

const identifier = (name) => name.replace(/[^A-Za-z0-9_]/g, '')
const key = (name) => (/^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name))
const refName = (ref) => identifier(ref.replace(/^#\/definitions\//, ''))

function typeOf(schema, indent) {
  if (schema.$ref) return refName(schema.$ref)
  const nullable = schema['x-nullable'] ? ' | null' : ''
  if (schema.allOf) return '(' + schema.allOf.map((part) => typeOf(part, indent)).join(' & ') + ')' + nullable
  if (schema.enum && (schema.type ?? 'string') === 'string')
    return '(' + schema.enum.map((v) => JSON.stringify(v)).join(' | ') + ')' + nullable
  switch (schema.type) {
    case 'string':
      return 'string' + nullable
    case 'integer':
    case 'number':
      return 'number' + nullable
    case 'boolean':
      return 'boolean' + nullable
    case 'array':
      return `(${typeOf(schema.items ?? {}, indent)})[]` + nullable
    default:
      if (schema.properties) return objectOf(schema, indent) + nullable
      if (schema.additionalProperties && schema.additionalProperties !== true)
        return `Record<string, ${typeOf(schema.additionalProperties, indent)}>` + nullable
      return (schema.type === 'object' ? 'Record<string, unknown>' : 'unknown') + nullable
  }
}

function objectOf(schema, indent) {
  const pad = '  '.repeat(indent + 1)
  const lines = Object.entries(schema.properties).map(([name, property]) => {
    const type = typeOf(property, indent + 1)
    const orNull = type.endsWith('| null') || !(property.type === 'array' || property.additionalProperties) ? '' : ' | null'
    return `${pad}${key(name)}?: ${type}${orNull}\n`
  })
  return `{\n${lines.join('')}${'  '.repeat(indent)}}`
}

const out = ['// Generated from engine-api-v1.51.json by scripts/generate-schema.mjs. Do not edit.\n']
for (const [name, schema] of Object.entries(api.definitions)) {
  out.push(`export type ${identifier(name)} = ${typeOf(schema, 0)}\n`)
}

const body = (method, path) => api.paths[path][method].parameters.find((p) => p.in === 'body').schema
const response = (method, path, status) => api.paths[path][method].responses[status].schema
out.push(`export type ContainerCreateBody = ${typeOf(body('post', '/containers/create'), 0)}\n`)
out.push(`export type ExecConfig = ${typeOf(body('post', '/containers/{id}/exec'), 0)}\n`)
out.push(`export type ExecInspectResponse = ${typeOf(response('get', '/exec/{id}/json', '200'), 0)}\n`)

// Clients send more of it than the description names.
const moreOfAuth = Object.fromEntries(['auth', 'identitytoken', 'registrytoken'].map((name) => [name, { type: 'string' }]))

const bodies = {
  ContainerCreateRequest: body('post', '/containers/create'),
  ContainerUpdateRequest: body('post', '/containers/{id}/update'),
  ExecCreateRequest: body('post', '/containers/{id}/exec'),
  ExecStartRequest: body('post', '/exec/{id}/start'),
  VolumeCreateRequest: body('post', '/volumes/create'),
  NetworkCreateRequest: body('post', '/networks/create'),
  NetworkConnectRequest: body('post', '/networks/{id}/connect'),
  NetworkDisconnectRequest: body('post', '/networks/{id}/disconnect'),
  AuthConfig: { properties: { ...api.definitions.AuthConfig.properties, ...moreOfAuth } },
}
// Go decodes these from a string as well as from a list.
const stringOrList = new Set(['ContainerCreateRequest.Cmd', 'ContainerCreateRequest.Entrypoint', 'ExecCreateRequest.Cmd'])
// Swarm only: taken as they come.
const opaque = new Set(['ClusterVolumeSpec'])
const tables = {}

function propertiesOf(schema) {
  if (schema.$ref) return propertiesOf(api.definitions[schema.$ref.replace(/^#\/definitions\//, '')])
  const own = schema.properties ?? {}
  return Object.assign({}, ...(schema.allOf ?? []).map(propertiesOf), own)
}

function struct(name, schema) {
  if (!tables[name]) {
    tables[name] = {}
    for (const [field, property] of Object.entries(propertiesOf(schema))) tables[name][field] = code(property, `${name}.${field}`)
  }
  return '@' + name
}

/** s string, i integer, n number, b boolean, l string or list of strings, [x list, {x map, @Name object, * anything. */
function code(schema, place) {
  if (stringOrList.has(place)) return 'l'
  if (schema.$ref) {
    const name = schema.$ref.replace(/^#\/definitions\//, '')
    if (opaque.has(name)) return '*'
    const target = api.definitions[name]
    return target.properties || target.allOf ? struct(identifier(name), target) : code(target, identifier(name))
  }
  if (schema.allOf) return struct(place, schema)
  switch (schema.type) {
    case 'string':
      return 's'
    case 'integer':
      return 'i'
    case 'number':
      return 'n'
    case 'boolean':
      return 'b'
    case 'array':
      return '[' + code(schema.items ?? {}, place)
    default:
      if (schema.properties) return struct(place, schema)
      if (schema.additionalProperties && schema.additionalProperties !== true) return '{' + code(schema.additionalProperties, place)
      return schema.type === 'object' ? '{*' : '*'
  }
}

for (const [name, schema] of Object.entries(bodies)) struct(name, schema)
const compact = (value) => JSON.stringify(value).replaceAll("'", "\\'")

const routes = Object.entries(api.paths).flatMap(([path, methods]) => Object.keys(methods).map((m) => `${m.toUpperCase()} ${path}`))
const files = {
  [target]: out.join('\n'),
  'core/schema/request-bodies.ts': [
    '// Generated from engine-api-v1.51.json by scripts/generate-schema.mjs. Do not edit.\n',
    '/** s string, i integer, n number, b boolean, l string or list of strings, [x list, {x map, @Name object, * anything. */',
    'export type TypeCode = string\n',
    `export type RequestBody = ${Object.keys(bodies)
      .map((n) => `'${n}'`)
      .join(' | ')}\n`,
    '/** Fields of request bodies by object, one JSON text each: parsed on first use. */',
    'export const requestBodies: Readonly<Record<string, string>> = {',
    ...Object.entries(tables).map(([name, fields]) => `  '${name}': '${compact(fields)}',`),
    '}\n',
  ].join('\n'),
  'core/schema/routes.ts': [
    '// Generated from engine-api-v1.51.json by scripts/generate-schema.mjs. Do not edit.\n',
    '/** Every operation of Engine API v1.51. */',
    'export const engineRoutes: readonly string[] = [',
    ...routes.map((route) => `  '${route}',`),
    ']\n',
  ].join('\n'),
}

for (const [file, text] of Object.entries(files)) {
  if (!process.argv.includes('--check')) fs.writeFileSync(file, text)
  else if (fs.readFileSync(file, 'utf8') !== text) {
    console.error(`${file} is stale: run npm run generate`)
    process.exitCode = 1
  }
}
