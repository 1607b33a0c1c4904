//! Who is whose parent while threads are put together, without loops.
//!
//! To ask each ancestor whether a link would close a loop takes time in the square of a chain's length, and strangers
//! say how long a chain is. These are Sleator and Tarjan's link-cut trees: each node prefers at most one of its children,
//! and a path of preferred ones is a splay tree in the order of their depths. Each operation takes logarithmic time,
//! amortised.

/// No node.
const NONE: usize = usize::MAX;

/// A forest that grows and is cut.
pub(super) struct Ancestry {
    nodes: Vec<Node>,
}

#[derive(Clone, Copy)]
struct Node {
    parent: usize,
    /// The node above it in its splay tree. Of the topmost one: the parent of its path's first node.
    up: usize,
    /// Below it in its splay tree, and nearer to the root of the forest's tree.
    left: usize,
    /// Below it in its splay tree, and farther from the root of the forest's tree.
    right: usize,
}

const ALONE: Node = Node { parent: NONE, up: NONE, left: NONE, right: NONE };

impl Ancestry {
    /// So many nodes, none of which has a parent.
    pub(super) fn new(len: usize) -> Self {
        Self { nodes: vec![ALONE; len] }
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Adds a node and says where it is.
    pub(super) fn add(&mut self) -> usize {
        self.nodes.push(ALONE);
        self.nodes.len() - 1
    }

    pub(super) fn parent(&self, of: usize) -> Option<usize> {
        Some(self.get(of).parent).filter(|&parent| parent != NONE)
    }

    /// Gives a node that has no parent this one, unless that is below it.
    pub(super) fn link(&mut self, parent: usize, child: usize) {
        if self.root(parent) == child {
            return;
        }
        self.splay(child);
        self.edit(child, |node| (node.parent, node.up) = (parent, parent));
    }

    /// Takes a node's parent away.
    pub(super) fn cut(&mut self, child: usize) {
        self.expose(child);
        let above = self.get(child).left;
        self.edit(above, |node| node.up = NONE);
        self.edit(child, |node| (node.parent, node.left) = (NONE, NONE));
    }

    /// The topmost ancestor.
    fn root(&mut self, of: usize) -> usize {
        self.expose(of);
        let mut root = of;
        while let above = self.get(root).left
            && above != NONE
        {
            root = above;
        }
        self.splay(root);
        root
    }

    /// Makes the way from the root to this node a path of its own, and the node the topmost one of its splay tree.
    fn expose(&mut self, node: usize) {
        self.splay(node);
        self.edit(node, |node| node.right = NONE);
        while let above = self.get(node).up
            && above != NONE
        {
            self.splay(above);
            self.edit(above, |above| above.right = node);
            self.rotate(node);
        }
    }

    /// Makes a node the topmost one of its splay tree.
    fn splay(&mut self, node: usize) {
        while !self.is_top(node) {
            let up = self.get(node).up;
            if !self.is_top(up) {
                let is_straight = self.is_left(node) == self.is_left(up);
                self.rotate(if is_straight { up } else { node });
            }
            self.rotate(node);
        }
    }

    /// Makes a node change places with the one above it.
    fn rotate(&mut self, node: usize) {
        let up = self.get(node).up;
        let over = self.get(up).up;
        let between = if self.is_top(up) { None } else { Some(self.is_left(up)) };
        let moved = if self.is_left(node) {
            let moved = self.get(node).right;
            self.edit(up, |up| up.left = moved);
            self.edit(node, |node| node.right = up);
            moved
        } else {
            let moved = self.get(node).left;
            self.edit(up, |up| up.right = moved);
            self.edit(node, |node| node.left = up);
            moved
        };
        self.edit(moved, |moved| moved.up = up);
        self.edit(up, |up| up.up = node);
        self.edit(node, |node| node.up = over);
        match between {
            Some(true) => self.edit(over, |over| over.left = node),
            Some(false) => self.edit(over, |over| over.right = node),
            None => {}
        }
    }

    /// Whether a node is the topmost one of its splay tree.
    fn is_top(&self, node: usize) -> bool {
        let up = self.get(self.get(node).up);
        up.left != node && up.right != node
    }

    /// Whether a node is on the left of the one above it.
    fn is_left(&self, node: usize) -> bool {
        self.get(self.get(node).up).left == node
    }

    /// Of no node: nothing is around it.
    fn get(&self, node: usize) -> Node {
        self.nodes.get(node).copied().unwrap_or(ALONE)
    }

    /// No node is not edited.
    fn edit(&mut self, node: usize, edit: impl FnOnce(&mut Node)) {
        if let Some(node) = self.nodes.get_mut(node) {
            edit(node);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Up from a node.
    fn is_above(parents: &[Option<usize>], above: usize, mut node: usize) -> bool {
        loop {
            if node == above {
                return true;
            }
            match parents[node] {
                Some(parent) => node = parent,
                None => return false,
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(1_000)))]
        #[test]
        fn links_are_made_unless_they_would_close_a_loop(
            steps in proptest::collection::vec((0..12_usize, 0..12_usize, 0..4), 0..80)
        ) {
            let mut ancestry = Ancestry::new(4);
            while ancestry.len() < 12 {
                ancestry.add();
            }
            let mut parents = vec![None; 12];
            for (parent, child, what) in steps {
                if what == 0 || parents[child].is_some() {
                    parents[child] = None;
                    ancestry.cut(child);
                } else {
                    if !is_above(&parents, child, parent) {
                        parents[child] = Some(parent);
                    }
                    ancestry.link(parent, child);
                }
                prop_assert!((0..12).all(|node| ancestry.parent(node) == parents[node]));
            }
        }
    }
}
