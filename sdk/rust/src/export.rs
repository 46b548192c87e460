//! The macro that makes a component of plain types.

/// Makes a component that offers these plugins.
///
/// ```text
/// watchfire_sdk::export! {
///     condition: "above" => Above,
///     condition: "below" => Below,
///     router: "by-team" => ByTeam,
///     formatter: "card" => Card,
/// }
/// ```
///
/// On targets other than WebAssembly it expands to nothing, so that unit tests run natively.
#[macro_export]
macro_rules! export {
    ($($kind:ident: $name:literal => $type:ty),+ $(,)?) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Component;
            $crate::__export!(@sort [] [] [] $($kind: $name => $type,)+);
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    (@sort [$($c:tt)*] [$($r:tt)*] [$($f:tt)*] condition: $name:literal => $type:ty, $($rest:tt)*) => {
        $crate::__export!(@sort [$($c)* ($name, $type)] [$($r)*] [$($f)*] $($rest)*);
    };
    (@sort [$($c:tt)*] [$($r:tt)*] [$($f:tt)*] router: $name:literal => $type:ty, $($rest:tt)*) => {
        $crate::__export!(@sort [$($c)*] [$($r)* ($name, $type)] [$($f)*] $($rest)*);
    };
    (@sort [$($c:tt)*] [$($r:tt)*] [$($f:tt)*] formatter: $name:literal => $type:ty, $($rest:tt)*) => {
        $crate::__export!(@sort [$($c)*] [$($r)*] [$($f)* ($name, $type)] $($rest)*);
    };
    (@sort [$($c:tt)*] [$($r:tt)*] [$($f:tt)*]) => {
        impl $crate::guest::DescribeGuest for Component {
            fn describe() -> Vec<$crate::guest::WitDescriptor> {
                let mut described = Vec::new();
                $crate::__export!(@describe Condition offer_condition described $($c)*);
                $crate::__export!(@describe Router offer_router described $($r)*);
                $crate::__export!(@describe Formatter offer_formatter described $($f)*);
                described
            }
        }
        $crate::guest::base::export_base!(Component with_types_in $crate::guest::base);
        $crate::__export!(@conditions $($c)*);
        $crate::__export!(@routers $($r)*);
        $crate::__export!(@formatters $($f)*);
    };

    (@describe $kind:ident $offer:ident $described:ident) => {};
    (@describe $kind:ident $offer:ident $described:ident $(($name:literal, $type:ty))+) => {
        $crate::guest::describe($crate::guest::Kind::$kind, &[$($crate::guest::$offer::<$type>($name)),+], &mut $described);
    };

    (@conditions) => {};
    (@conditions $(($name:literal, $type:ty))+) => {
        ::std::thread_local! {
            static CONDITIONS: $crate::guest::Opened<dyn $crate::guest::AnyCondition> = const { $crate::guest::Opened::new() };
        }
        impl $crate::guest::condition::Guest for Component {
            fn open(name: String, config: String) -> Result<u32, $crate::guest::PluginError> {
                let offers = [$($crate::guest::offer_condition::<$type>($name)),+];
                CONDITIONS.with(|opened| opened.open(&offers, &name, &config))
            }
            fn evaluate(handle: u32) -> Result<$crate::guest::condition::Outcome, $crate::guest::PluginError> {
                CONDITIONS.with(|opened| opened.with(handle, |condition| condition.evaluate())).map($crate::guest::outcome)
            }
            fn close(handle: u32) {
                CONDITIONS.with(|opened| opened.close(handle));
            }
        }
        $crate::guest::conditions::export_conditions!(Component with_types_in $crate::guest::conditions);
    };

    (@routers) => {};
    (@routers $(($name:literal, $type:ty))+) => {
        ::std::thread_local! {
            static ROUTERS: $crate::guest::Opened<dyn $crate::guest::AnyRouter> = const { $crate::guest::Opened::new() };
        }
        impl $crate::guest::router::Guest for Component {
            fn open(name: String, config: String) -> Result<u32, $crate::guest::PluginError> {
                let offers = [$($crate::guest::offer_router::<$type>($name)),+];
                ROUTERS.with(|opened| opened.open(&offers, &name, &config))
            }
            fn route(
                handle: u32,
                at_ms: i64,
                alerts: Vec<$crate::guest::router::Alert>,
            ) -> Result<Vec<$crate::guest::router::Decision>, $crate::guest::PluginError> {
                let alerts = $crate::guest::alerts(alerts);
                let decided = ROUTERS.with(|opened| opened.with(handle, |router| router.route(at_ms, &alerts)));
                decided.map($crate::guest::decisions)
            }
            fn close(handle: u32) {
                ROUTERS.with(|opened| opened.close(handle));
            }
        }
        $crate::guest::routers::export_routers!(Component with_types_in $crate::guest::routers);
    };

    (@formatters) => {};
    (@formatters $(($name:literal, $type:ty))+) => {
        ::std::thread_local! {
            static FORMATTERS: $crate::guest::Opened<dyn $crate::guest::AnyFormatter> = const { $crate::guest::Opened::new() };
        }
        impl $crate::guest::formatter::Guest for Component {
            fn open(name: String, config: String) -> Result<u32, $crate::guest::PluginError> {
                let offers = [$($crate::guest::offer_formatter::<$type>($name)),+];
                FORMATTERS.with(|opened| opened.open(&offers, &name, &config))
            }
            fn format(
                handle: u32,
                group: $crate::guest::formatter::Group,
            ) -> Result<$crate::guest::formatter::Message, $crate::guest::PluginError> {
                let group = $crate::guest::group(group);
                FORMATTERS.with(|opened| opened.with(handle, |formatter| formatter.format(&group))).map($crate::guest::message)
            }
            fn close(handle: u32) {
                FORMATTERS.with(|opened| opened.close(handle));
            }
        }
        $crate::guest::formatters::export_formatters!(Component with_types_in $crate::guest::formatters);
    };
}
