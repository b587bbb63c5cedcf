package client

// Waiting is how many calls of Submit wait for a transaction.
func Waiting(c *Client) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, w := range c.waiting {
		n += w.callers
	}
	return n
}
