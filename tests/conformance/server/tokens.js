// Tokens within a connection.
import { skip } from '../src/run.js'
import { assert } from '../src/stage.js'

export default [
  {
    name: 'token-is-renewed',
    says: '**`auth`** (v1) renews the token; the old one stays if the new one is refused.',
    async run(stage) {
      const { socket, welcome } = await stage.begin()
      socket.send({ type: 'auth', token: await stage.token({ lifetime: 7_200 }), ref: 1 })
      const { ref, expires_at } = await socket.control('authenticated')
      assert.equal(ref, 1)
      assert.ok(Date.parse(expires_at) > Date.parse(welcome.token_expires_at))
    },
  },
  {
    name: 'refused-renewal-changes-nothing',
    says: 'the token of an `auth` was refused; the old one stays',
    async run(stage) {
      const { socket } = await stage.begin()
      socket.send({ type: 'auth', token: 'no.token', ref: 1 })
      const { code, ref } = await socket.control('error')
      assert.deepEqual([code, ref], ['token_refused', 1])
      const id = await stage.send()
      assert.equal((await socket.notification()).id, id)
    },
  },
  {
    name: 'renewal-of-another-user',
    says: 'it names another user',
    async run(stage) {
      const { socket } = await stage.begin()
      socket.send({ type: 'auth', token: await stage.token({}, stage.another()) })
      assert.equal((await socket.control('error')).code, 'user_mismatch')
    },
  },
  {
    name: 'renewal-that-allows-less',
    says: 'Channels that the new one does not allow are left (`unsubscribed` with a code).',
    async run(stage) {
      const { socket } = await stage.begin({ token: await stage.token({ channels: ['private:*'] }) })
      const channel = stage.name('private:x')
      socket.send({ type: 'subscribe', channel })
      await socket.control('subscribed')
      socket.send({ type: 'auth', token: await stage.token({ channels: ['other'] }) })
      const left = await socket.control('unsubscribed')
      assert.deepEqual([left.channel, left.code], [channel, 'channel_forbidden'])
    },
  },
  {
    name: 'token-that-is-about-to-end',
    says: '`token_expiring` comes 60 s before the end',
    async run(stage) {
      const { socket } = await stage.begin({ token: await stage.token({ lifetime: 40 }) })
      const { expires_at } = await socket.control('token_expiring')
      assert.ok(Math.abs(Date.parse(expires_at) - Date.now() - 40_000) < 5_000, expires_at)
    },
  },
  {
    name: 'token-that-ended',
    says: 'the token ended (and its `auth.leeway`), or the key that it is signed with is no longer accepted',
    async run(stage) {
      const { leeway, isSlow } = stage.server
      if (leeway > 5 && !isSlow) skip(`takes ${leeway + 2} s: --slow, or a server with a shorter leeway and --leeway`)
      const { socket } = await stage.begin({ token: await stage.token({ lifetime: 2 }) })
      const end = await socket.ended((leeway + 8) * 1_000)
      assert.equal(end.code, 4201, `${end.code} ${end.reason}`)
    },
  },
]
