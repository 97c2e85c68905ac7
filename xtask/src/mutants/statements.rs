//! The mutants of statements and of whole functions.

use syn::spanned::Spanned as _;
use syn::{Block, Expr, Stmt};

use super::collect::Collector;
use super::mutation::{Shape, on_one_line};
use super::replacements;

impl Collector<'_> {
    /// Statements that are omitted, or whose error is ignored.
    pub(super) fn statements(&mut self, block: &Block) {
        for statement in &block.stmts {
            match statement {
                Stmt::Expr(expr, Some(_)) if may_be_omitted(expr) => {
                    self.add("statement omitted", statement, String::new(), Shape::Omitted);
                    if let Expr::Try(attempt) = expr {
                        let text = format!("let _ = {};", self.code(&attempt.expr));
                        self.add("error ignored", statement, text.clone(), Shape::Statement(text));
                    }
                }
                Stmt::Expr(expr, None) if self.yields_nothing(expr) => {
                    self.add("statement omitted", statement, String::new(), Shape::Omitted);
                }
                Stmt::Expr(..) | Stmt::Local(_) | Stmt::Item(_) | Stmt::Macro(_) => {}
            }
        }
    }

    /// Whether an expression at the end of a block has no value.
    pub(super) fn yields_nothing(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Return(_) | Expr::Break(_) | Expr::Continue(_) | Expr::Assign(_) => true,
            Expr::Binary(it) => replacements::assigns(&it.op),
            Expr::MethodCall(it) => self.facts.units.contains(&it.method.to_string()),
            Expr::Call(it) => match &*it.func {
                Expr::Path(path) => path
                    .path
                    .segments
                    .last()
                    .is_some_and(|name| self.facts.units.contains(&name.ident.to_string())),
                _ => false,
            },
            Expr::Await(it) => self.yields_nothing(&it.base),
            Expr::Try(it) => self.yields_nothing(&it.expr),
            _ => false,
        }
    }

    /// A loop over elements that is left before the first one.
    pub(super) fn loop_left(&mut self, body: &Block) {
        let open = body.brace_token.span.open();
        let place = (open.byte_range().end..open.byte_range().end, open.start().line);
        let break_at_once = "break;".to_owned();
        self.add_at("loop", place, "for".to_owned(), break_at_once.clone(), Shape::First(break_at_once));
    }

    /// A function that returns at once.
    pub(super) fn early_returns(&mut self, signature: &syn::Signature, block: &Block) {
        let open = block.brace_token.span.open();
        let place = (open.byte_range().end..open.byte_range().end, signature.span().start().line);
        let inside = open.byte_range().end..block.brace_token.span.close().byte_range().start;
        let body = on_one_line(super::rewrite::part(self.source, inside));
        for value in replacements::defaults(&signature.output, self.facts) {
            // A function that does only this is not changed.
            if body != value {
                let text = if value.is_empty() { "return;".to_owned() } else { format!("return {value};") };
                self.add_at("early return", place.clone(), "fn".to_owned(), text.clone(), Shape::First(text));
            }
        }
    }
}

fn may_be_omitted(expr: &Expr) -> bool {
    match expr {
        Expr::MethodCall(_)
        | Expr::Call(_)
        | Expr::Assign(_)
        | Expr::Try(_)
        | Expr::Await(_)
        | Expr::Return(_)
        | Expr::Break(_)
        | Expr::Continue(_) => true,
        Expr::Binary(it) => replacements::assigns(&it.op),
        _ => false,
    }
}
