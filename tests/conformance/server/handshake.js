// Getting in, or being told why not.
import { exchange, open, SOON } from '../src/socket.js'
import { assert } from '../src/stage.js'

const V1 = 'carillon.v1'
const item = (token) => `bearer.${Buffer.from(token).toString('base64url')}`

/** A connection that is refused: how it ends. */
async function refused(stage, wish) {
  const socket = await stage.open(wish)
  return socket.ended(SOON * 2)
}

const letter = (change) => async (stage) => {
  const url = new URL(stage.address())
  const lines = [`GET ${url.pathname} HTTP/1.1`, `Host: ${url.host}`, 'Connection: Upgrade', 'Upgrade: websocket',
    'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==']
  const answer = await exchange(url.href, change(lines))
  answer.stream.destroy()
  return answer
}

const without = (start) => letter((lines) => lines.filter((line) => !line.startsWith(start)))
const replaced = (start, line) => letter((lines) => lines.map((it) => it.startsWith(start) ? line : it))

export default [
  {
    name: 'subprotocol-is-answered',
    says: 'Without a subprotocol the connection speaks the **simple protocol**; with `Sec-WebSocket-Protocol: carillon.v1` its superset',
    async run(stage) {
      assert.equal((await stage.open()).protocol, V1)
      assert.equal((await stage.open({ protocols: [] })).protocol, undefined)
    },
  },
  {
    name: 'token-in-header-subprotocol-or-frame',
    says: 'a JWT whose `sub` is the user. Or in `Authorization: Bearer`, or as a subprotocol `bearer.<base64url of the token>` beside `carillon.v1`, or, v1 only, in an `auth` frame that comes first and within 5 s.',
    async run(stage) {
      const token = await stage.token()
      const welcomed = async (wish) => (await (await stage.open(wish)).control('welcome')).user
      assert.equal(await welcomed({ token }), stage.user, 'in the header')
      assert.equal(await welcomed({ headers: {}, protocols: [V1, item(token)] }), stage.user, 'beside the subprotocol')
      const silent = await stage.open({ headers: {} })
      silent.send({ type: 'auth', token, ref: 1 })
      assert.equal((await silent.control('authenticated')).ref, 1, 'in a frame')
    },
  },
  {
    name: 'token-in-the-query',
    says: 'a JWT whose `sub` is the user.',
    async run(stage) {
      const socket = stage.keep(await open(stage.address({ token: await stage.token() }), { protocols: [V1] }))
      assert.equal((await socket.control('welcome')).user, stage.user)
    },
  },
  {
    name: 'header-before-subprotocol-before-query',
    says: 'Header before subprotocol before query',
    async run(stage) {
      const [first, other] = [stage.another(), stage.another()]
      const url = stage.address({ token: await stage.token() })
      const all = stage.keep(await open(url, { protocols: [V1, item(await stage.token({}, other))],
        headers: { authorization: `Bearer ${await stage.token({}, first)}` } }))
      assert.equal((await all.control('welcome')).user, first)
      const two = stage.keep(await open(url, { protocols: [V1, item(await stage.token({}, other))] }))
      assert.equal((await two.control('welcome')).user, other)
    },
  },
  ...[
    ['token-missing', { headers: {} }, 'token_missing', 'Reasons of 4001: `token_missing`'],
    ['token-malformed', { token: 'no.token' }, 'token_malformed', 'Reasons of 4001: `token_missing`, `token_too_large` (8 KiB), `token_is_api_key`, `token_malformed`'],
    ['token-is-api-key', { token: 'ck_0123456789012345678901234567890123456789012' }, 'token_is_api_key', 'Reasons of 4001: `token_missing`, `token_too_large` (8 KiB), `token_is_api_key`'],
    ['token-too-large', { token: `${'x'.repeat(9_000)}.b.c` }, 'token_too_large', 'Reasons of 4001: `token_missing`, `token_too_large` (8 KiB)'],
  ].map(([name, wish, reason, says]) => ({
    name, says,
    async run(stage) {
      assert.deepEqual(await refused(stage, { protocols: [], ...wish }), { code: 4001, reason })
    },
  })),
  {
    name: 'token-expired',
    says: 'A token\'s `exp` and `sub` are required',
    async run(stage) {
      const token = await stage.token({ lifetime: -stage.server.leeway - 60 })
      assert.deepEqual(await refused(stage, { token }), { code: 4001, reason: 'token_expired' })
    },
  },
  {
    name: 'token-with-another-signature',
    says: 'A refused handshake is completed and then closed with a code below, because browsers hide the HTTP status',
    async run(stage) {
      const [head, claims, signature] = (await stage.token()).split('.')
      const token = [head, claims, (signature[0] === 'A' ? 'B' : 'A') + signature.slice(1)].join('.')
      assert.deepEqual(await refused(stage, { token }), { code: 4001, reason: 'token_signature' })
    },
  },
  {
    name: 'names-that-break-the-rule',
    says: '`origin_not_allowed`, `invalid_device`, `invalid_session`',
    async run(stage) {
      assert.deepEqual(await refused(stage, { device: 'a b' }), { code: 4003, reason: 'invalid_device' })
      assert.deepEqual(await refused(stage, { session: 'x'.repeat(65) }), { code: 4003, reason: 'invalid_session' })
    },
  },
  {
    name: 'version-that-is-not-served',
    says: 'a `carillon.` subprotocol that is not served',
    async run(stage) {
      assert.equal((await refused(stage, { protocols: ['carillon.v999'] })).code, 4010)
    },
  },
  ...[
    [426, 'no-upgrade', without('Upgrade:')],
    [426, 'another-version', replaced('Sec-WebSocket-Version', 'Sec-WebSocket-Version: 8')],
    [405, 'another-method', letter(([first, ...lines]) => [first.replace('GET', 'POST'), ...lines])],
    [400, 'no-host', without('Host:')],
    [400, 'two-hosts', letter((lines) => [...lines, 'Host: other'])],
    [400, 'key-of-other-length', replaced('Sec-WebSocket-Key', 'Sec-WebSocket-Key: c2hvcnQ=')],
    [431, 'head-too-large', letter((lines) => [...lines, `X-Large: ${'x'.repeat(17_000)}`])],
  ].map(([status, name, ask]) => ({
    name: `letter-${name}`,
    says: 'What is no handshake by the letter (RFC 6455 section 4.2.1, RFC 9112) is answered with a problem that names the header, and the connection is closed',
    async run(stage) {
      const answer = await ask(stage)
      assert.equal(answer.status, status)
      assert.match(answer.headers['content-type'] ?? '', /^application\/problem\+json/)
    },
  })),
  {
    name: 'auth-frame-in-time',
    says: 'or, v1 only, in an `auth` frame that comes first and within 5 s',
    async run(stage) {
      const socket = await stage.open({ headers: {} })
      const end = await socket.ended(SOON * 2)
      assert.equal(end.code, 4001, 'nothing was said in time')
    },
  },
]
