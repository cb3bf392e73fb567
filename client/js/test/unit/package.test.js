// What the package says of itself.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { createContext, runInContext } from 'node:vm'
import { World } from 'carillon-client/testing'

const read = (path) => readFile(new URL(`../../${path}`, import.meta.url), 'utf8')

test('its version is the server\'s', async () => {
  const { version, dependencies } = JSON.parse(await read('package.json'))
  assert.equal(version, /^version = "(.*)"$/m.exec(await read('../../Cargo.toml'))[1])
  assert.equal(dependencies, undefined, 'nothing else is needed')
})

test('what README names is there', async () => {
  const readme = await read('README.md')
  const { NotificationClient } = await import('carillon-client')
  const client = new NotificationClient('wss://push.example', 'a.b.c')
  const table = /\| member \| \|\n([^]*?)\n\n/.exec(readme)[1]
  const members = [...table.matchAll(/^\| ([^|]*) \|/gm)].flatMap(([, cell]) => [...cell.matchAll(/`(\w+)/g)].map((it) => it[1]))
  assert.ok(members.length > 8, `${members}`)
  for (const name of members) assert.ok(name in client, name)
  const options = /\| option \| \|\n([^]*?)\n\n/.exec(readme)[1]
  const named = [...options.matchAll(/^\| ([^|]*) \|/gm)].flatMap(([, cell]) => [...cell.matchAll(/`(\w+)`/g)].map((it) => it[1]))
  assert.ok(named.length > 8, `${named}`)
  for (const name of named) assert.doesNotThrow(() => new NotificationClient({ token: 'a.b.c', [name]: name === 'token' ? 'x' : undefined }), name)
})

test('importing and making a client needs nothing of a browser', async () => {
  assert.equal(globalThis.window, undefined)
  for (const entry of ['', '/shared', '/sse', '/diagnose', '/inbox', '/testing', '/react', '/vue']) await import(`carillon-client${entry}`)
  const { SharedClient } = await import('carillon-client/shared')
  assert.equal(new SharedClient('a.b.c').state, 'idle')
})

test('the script is the same client', async () => {
  const page = createContext({ console, queueMicrotask, URL, atob, btoa })
  runInContext(await read('dist/carillon-client.iife.js'), page)
  assert.deepEqual(Object.keys(page.Carillon), ['NotificationClient', 'CarillonError', 'UnauthorizedError'])
  const world = new World()
  const given = []
  const client = new page.Carillon.NotificationClient('wss://push.example', world.token(), { scope: world.page().scope })
  client.on('test', ({ id }) => { given.push(id) })
  client.connect()
  await world.advance(100)
  const id = world.server.send('alice', { type: 'test' })
  await world.advance(100)
  assert.deepEqual(given, [id])
})
