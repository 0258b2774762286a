const LIMIT = 5000;

/**
 * Gathers items and hands them over in an animation frame, at least `interval` milliseconds after the last time. A hidden
 * tab has no frames: then at most LIMIT items wait, after which they are dropped and `lost` is true, so that the receiver
 * reads the record again instead.
 */
export function frameBatch<Item>(flush: (items: Item[], lost: boolean) => void, interval = 0) {
  let waiting: Item[] = [];
  let lost = false;
  let frame = 0;
  let last = -Infinity;
  const run = (time: number) => {
    if (time - last < interval) {
      frame = requestAnimationFrame(run);
      return;
    }
    last = time;
    frame = 0;
    const items = waiting;
    const dropped = lost;
    waiting = [];
    lost = false;
    flush(items, dropped);
  };
  return {
    add(item: Item) {
      waiting.push(item);
      if (waiting.length > LIMIT) {
        waiting = [];
        lost = true;
      }
      frame ||= requestAnimationFrame(run);
    },
    stop() {
      cancelAnimationFrame(frame);
      waiting = [];
    },
  };
}
