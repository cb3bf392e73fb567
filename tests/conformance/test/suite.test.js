// The suite itself: it quotes the protocol, lets through what keeps it, and catches what breaks a rule.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startServer } from '../src/here.js'
import { run } from '../src/run.js'
import { Stage } from '../src/stage.js'
import { clientCases, serverCases, testClient } from '../src/suites.js'
import { startMutant } from './mutant-server.js'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
process.env.CARILLON_BIN ??= `${ROOT}target/bin/carillon`

test('every case quotes the sentence that it holds a program to', async () => {
  const plain = (text) => text.replace(/\s+/g, ' ').replace(/\n- /g, ' ')
  const document = plain(await readFile(`${ROOT}docs/protocol.md`, 'utf8'))
  for (const { name, says } of [...serverCases, ...clientCases]) assert.ok(document.includes(plain(says)), `${name}: ${says}`)
})

const server = await startServer()
after(() => server.stop())

/** What becomes of these cases, against a server with these rules. */
async function against(rules, names) {
  const mutant = await startMutant(server.ws, rules)
  const cases = serverCases.filter(({ name }) => names.includes(name))
  assert.equal(cases.length, names.length, `${names}`)
  const results = await run(cases, () => new Stage({ ...server, ws: mutant.ws }))
  mutant.stop()
  return results
}

const isReplayed = (frame) => frame.id && frame.replayed
let held

/** What is broken, and the case that has to see it. */
const BROKEN = {
  'no ref in answers': [{ fromServer: ({ ref, ...frame }) => frame }, 'ref-is-echoed'],
  'an id on control frames': [{ fromServer: (frame) => ({ id: 'x', ...frame }) }, 'control-frames-have-no-id'],
  'since is not looked at': [{ query: (asked) => asked.delete('since') }, 'since-is-where-it-starts'],
  'acks are lost': [{ fromClient: (frame) => frame.type === 'ack' ? undefined : frame }, 'what-was-acked-does-not-come-again'],
  'what is written counts as acked': [{ fromServer: (frame, _, back) => {
    if (frame.id) back({ type: 'ack', cursor: frame.cursor })
    return frame
  } }, 'what-was-not-acked-comes-again'],
  'two notifications change places': [{ fromServer: (frame) => {
    if (frame.id && frame.content === '7') {
      held = frame
      return undefined
    }
    return frame.content === '8' ? [frame, held] : frame
  } }, 'notifications-come-in-order'],
  'one in a replay is left out': [{ fromServer: (frame) => isReplayed(frame) && frame.content === '7' ? undefined : frame }, 'missed-comes-first-and-in-order'],
  'a wrong count in replayed': [{ fromServer: (frame) => frame.type === 'replayed' ? { ...frame, count: frame.count + 1 } : frame }, 'missed-comes-first-and-in-order'],
  'a gap is kept back': [{ fromServer: (frame) => frame.type === 'gap' ? undefined : frame }, 'position-of-another-history'],
  'another close code': [{ end: ({ code, reason }) => ({ code: code === 4009 ? 1000 : code, reason }) }, 'session-that-is-taken-over'],
  'nothing is answered after an error': [{ fromServer: (frame) => frame.type === 'pong' ? undefined : frame }, 'error-malformed_frame'],
  'welcome for a simple client': [{ begin: (say, isV1) => isV1 || say({ type: 'welcome' }) }, 'simple-says-nothing-unasked'],
  'another field for a simple client': [{ fromServer: (frame) => frame.id && !frame.cursor ? { ...frame, priority: 1 } : frame }, 'simple-notification'],
  'no pings': [{ passesPings: false }, 'server-pings'],
  'no word of a token\'s end': [{ fromServer: (frame) => frame.type === 'token_expiring' ? undefined : frame }, 'token-that-is-about-to-end'],
}

test('a server that keeps the rules passes through the same hands', async () => {
  const names = [...new Set(Object.values(BROKEN).map(([, name]) => name))]
  for (const { name, result, why } of await against({}, names)) assert.equal(result, 'pass', `${name}: ${why}`)
})

for (const [what, [rules, name]] of Object.entries(BROKEN)) {
  test(`a server is caught: ${what}`, async () => {
    const [{ result }] = await against(rules, [name])
    assert.equal(result, 'FAIL', `${name} lets it pass`)
  })
}

const REFERENCE = `exec node ${fileURLToPath(new URL('reference-client.js', import.meta.url))}`

test('a client that keeps the rules passes', async () => {
  for (const { name, result, why } of await testClient(REFERENCE, { atOnce: 8 })) assert.equal(result, 'pass', `${name}: ${why}`)
})

for (const [rule, name] of Object.entries({
  since: 'recovers-by-cursor', once: 'shows-each-once', session: 'keeps-its-session', gap: 'goes-on-behind-a-gap', channel: 'goes-on-with-its-channel',
  acks: 'acks-what-it-handled-and-nothing-else', 'own-cursors': 'acks-what-it-handled-and-nothing-else', hint: 'leaves-when-asked-within-the-spread',
  spread: 'leaves-when-asked-within-the-spread', 'make-before-break': 'leaves-when-asked-within-the-spread', stop: 'stops-at-4003',
  pause: 'backs-off-at-41xx', hammer: 'does-not-hammer-at-42xx', unknown: 'ignores-what-it-does-not-know', 'by-type': 'tells-notifications-by-their-id',
  pong: 'answers-ping-frames',
})) {
  test(`a client is caught: ${rule}`, async () => {
    const [{ result }] = await testClient(`BREAKS=${rule} ${REFERENCE}`, { only: [name] })
    assert.equal(result, 'FAIL', `${name} lets it pass`)
  })
}
