package linkmodel

// FIFO is a queue whose operations take constant time on average. The zero
// value is empty.
type FIFO[T any] struct {
	items []T // items[head:] are in the queue
	head  int
}

// Len returns the number of items in the queue.
func (q *FIFO[T]) Len() int { return len(q.items) - q.head }

// Front returns the oldest item; the queue must not be empty.
func (q *FIFO[T]) Front() T { return q.items[q.head] }

// Push adds an item.
func (q *FIFO[T]) Push(v T) {
	if len(q.items) == cap(q.items) && q.head > len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, v)
}

// Pop removes the oldest item and returns it; the queue must not be empty.
func (q *FIFO[T]) Pop() T {
	var zero T
	v := q.items[q.head]
	q.items[q.head] = zero
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return v
}
