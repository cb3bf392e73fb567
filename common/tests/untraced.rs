//! While nobody traces, nothing is allocated for it.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    time::Instant,
};

use axum::http::{HeaderMap, HeaderValue};
use carillon_common::{
    ids::{Cursor, NotificationId},
    notification::Frame,
    telemetry::spans::{Destination, Spans},
};

/// Counts what its thread allocates.
struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

#[expect(
    unsafe_code,
    reason = "an allocator has no safe form; this one hands everything on"
)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocated(work: impl FnOnce()) -> usize {
    let before = ALLOCATED.with(Cell::get);
    work();
    ALLOCATED.with(Cell::get) - before
}

#[test]
fn nothing_is_allocated_while_nobody_traces() {
    assert_eq!(
        allocated(|| drop(std::hint::black_box(Box::new(1)))),
        1,
        "this test counts nothing"
    );

    let spans = Spans::default();
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = HeaderMap::from_iter([(
        "traceparent".parse().unwrap(),
        HeaderValue::from_static(parent),
    )]);
    let mut frame = Frame {
        cursor: Cursor::ZERO,
        id: NotificationId::nil(),
        stored_at: 0,
        expires_at: 0,
        tombstone: false,
        trace: None,
        body: "{}".into(),
    };
    let dispatcher = || {
        assert!(
            spans
                .request(&headers, Destination::Inbox, Instant::now())
                .is_none()
        );
    };
    assert_eq!(allocated(dispatcher), 0);
    let gateway = |frame: &Frame| {
        allocated(|| {
            let parent = frame.trace.as_deref();
            let delivery = spans.delivery(parent, frame.id, Destination::Inbox, false);
            assert!(delivery.is_none());
        })
    };
    assert_eq!(gateway(&frame), 0);
    // A dispatcher traces, this gateway does not.
    frame.trace = Some(Box::new(parent.parse().unwrap()));
    assert_eq!(gateway(&frame), 0);
}
