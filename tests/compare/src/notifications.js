// The same notification for every client; what a protocol needs beside it is its own.

const id = (n) => `018f6d2c-7c1e-7000-8000-${String(n).padStart(12, '0')}`

export const notification = (n) => ({
  id: id(n), type: 'order.shipped', content: `Your order ${n} is on its way`, timestamp: '2026-01-01T12:00:00.000Z',
  data: { order: n, carrier: 'DHL', parcels: 2, express: false },
})

// docs/protocol.md: what a connection begins with, and a notification to a user.
export const welcome = () => [
  { type: 'welcome', protocol: 'carillon.v1', session: 's', user: 'u', device: 'd', cursor: '1-1', recovered: true, ping_interval_ms: 25_000,
    token_expires_at: '2100-01-01T00:00:00.000Z', limits: { frame_bytes: 65_536, channels: 100, frames_per_second: 20, inbox: 1000 } },
  { type: 'replayed', cursor: '1-1', count: 0 },
]

export const frame = (n) => ({ ...notification(n), channel: null, target_user: 'u', cursor: `${n + 2}-4711`, expires_at: '2026-01-08T12:00:00.000Z' })
